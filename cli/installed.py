"""An image holds those packages that it runs. A command that needs another one says so, without a traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class InstalledCommands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            said = f"`{ctx.invoked_subcommand}` needs the package `{missing}`, which is not here"
            typer.echo(f"nameplate: {said}", err=True)
            raise typer.Exit(2) from None
