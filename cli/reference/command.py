"""`nameplate reference`: print a page of docs/reference, or write them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Page(StrEnum):
    api = "api"
    settings = "settings"
    problems = "problems"
    commands = "commands"


def pages() -> Mapping[Page, Callable[[], str]]:
    """What makes each page. Imported when asked for: it is all of control and of the sidecar."""
    from cli.reference import api, commands, problems, settings

    return {
        Page.api: api.page,
        Page.settings: settings.page,
        Page.problems: problems.page,
        Page.commands: commands.page,
    }


def reference(
    page: Annotated[Page | None, typer.Argument(help="Print this one.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write all of them into this folder: docs/reference.")] = None,
) -> None:
    """The API, settings, problems and commands as Markdown, made from the tables of this very version."""
    if (page is None) == (write is None):
        raise typer.BadParameter("Name a page, or a folder with --write.")
    if page is not None:
        typer.echo(pages()[page](), nl=False)
    if write is not None:
        made = {name: make() for name, make in pages().items()}
        for name, text in made.items():
            (write / f"{name}.md").write_text(text)
