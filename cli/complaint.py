"""Settings that cannot be used, said in words: which variable, what is wrong, never its value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from core.settings import complaints

ADVICE = "settings are environment variables; `nameplate reference settings` says what each is, and for whom"


@contextmanager
def explain_settings() -> Iterator[None]:
    """End with exit code 2 and a line a variable, instead of a traceback that would print secrets."""
    try:
        yield
    except ValidationError as error:
        raise unusable(complaints(error)) from None


def unusable(problems: Sequence[str]) -> typer.Exit:
    """Say each, and what to do; to be raised."""
    for line in (*problems, ADVICE):
        typer.echo(f"nameplate: {line}", err=True)
    return typer.Exit(2)
