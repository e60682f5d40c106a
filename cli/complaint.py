"""Settings that cannot be used, said in words: which variable, what is wrong, never its value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from core.settings import complaints


@contextmanager
def explain_settings() -> Iterator[None]:
    """End with exit code 2 and a line a variable, instead of a traceback that would print secrets."""
    try:
        yield
    except ValidationError as error:
        for line in complaints(error):
            typer.echo(f"nameplate: {line}", err=True)
        raise typer.Exit(2) from None
