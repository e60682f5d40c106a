"""docs/reference/commands.md, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.reference.markdown import joined, prose, table

INTRODUCTION = """\
# Commands

Made by `nameplate reference commands` from the commands' own `--help`. A command that needs settings ends with code 2
and names them when they cannot be used. An option with a setting takes its value from there, unless it is given.
"""

ROOT = Path(__file__).parents[2]

# They take typer's objects as they are: their classes have moved from one version to the next.
Command = Any


def page() -> str:
    from cli.main import app

    return joined(_lines(typer.main.get_command(app)))


def _lines(root: Command) -> Iterator[str]:
    yield from INTRODUCTION.splitlines()
    for name, command in _walk("nameplate", root):
        yield from _command(name, command)


def _walk(name: str, command: Command) -> Iterator[tuple[str, Command]]:
    """Those that can be run, in the order in which they are listed."""
    commands = getattr(command, "commands", None)
    if commands is None:
        yield name, command
    else:
        for word, below in commands.items():
            yield from _walk(f"{name} {word}", below)


def _command(name: str, command: Command) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [name, *(_spelt(one) if one.required else f"[{_spelt(one)}]" for one in arguments)]
    yield from ("", f"## {name}", "", f"`{' '.join(words)}`", "")
    yield from prose(inspect.cleandoc(command.help or "")).splitlines()
    yield from table(
        ("", "default", "setting", ""),
        [
            (f"`{_spelt(one)}`", _default(one), f"`{one.envvar}`" if one.envvar else "", prose(one.help or ""))
            for one in command.params
            if not one.hidden and one.name != "help"
        ],
    )


def _spelt(parameter: Command) -> str:
    return parameter.name.upper() if parameter.param_type_name == "argument" else " ".join(parameter.opts)


def _default(parameter: Command) -> str:
    if parameter.required:
        return "*required*"
    value = parameter.default
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        value = value.relative_to(ROOT)
    return f"`{getattr(value, 'value', value)}`"
