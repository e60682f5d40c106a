"""`nameplate screenshots`: pictures of the pages for docs/, and what the pages weigh."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def screenshots(out: Annotated[Path, typer.Option(help="Where the pictures go.")] = IMAGES) -> None:
    """Start everything on this machine, and photograph each page with Debian's Chromium, wide and as on a phone.

    Prints what each page weighs, and how long its first answer takes.
    """
    from rich.console import Console

    from demo.screenshots import take
    from embedded.debian import PackageMissing
    from embedded.process import ServerFailed

    try:
        asyncio.run(take(out, Console()))
    except (ServerFailed, PackageMissing, OSError, TimeoutError) as error:
        typer.echo(f"nameplate: no pictures were taken: {error}", err=True)
        raise typer.Exit(1) from error
