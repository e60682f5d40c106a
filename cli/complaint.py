"""Settings that cannot be used, said in words: which variable, what is wrong, never its value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from control.settings import variable


@contextmanager
def explain_settings() -> Iterator[None]:
    """End with exit code 2 and a line a variable, instead of a traceback that would print secrets."""
    try:
        yield
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            typer.echo(f"nameplate: {variable(problem['loc'])}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None
