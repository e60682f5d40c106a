"""docs/reference/problems.md, from `api.catalogue`."""

from __future__ import annotations

from collections.abc import Iterator

from api.catalogue import CATALOGUE
from cli.reference.markdown import anchor, joined, table

INTRODUCTION = """\
# Problems

Made by `nameplate reference problems` from `api/catalogue.py`: every code that the API can answer with. An answer of
400 or more is a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). Programs compare `code`, which
keeps its meaning once it is published; people read `detail`. A running API explains each at `/problems/<code>`.

`who` must act for the request to succeed: the `tenant`, the `operator`, the `ca`, or `nobody`: it passes by itself.
"""


def page() -> str:
    return joined(_lines())


def _lines() -> Iterator[str]:
    yield from INTRODUCTION.splitlines()
    for status in sorted({kind.status for kind in CATALOGUE.values()}):
        yield from ("", f"## {status}")
        yield from table(
            ("code", "who", "", "what it means"),
            [
                (f"{anchor(code)}`{code}`", kind.who, kind.title, kind.meaning)
                for code, kind in CATALOGUE.items()
                if kind.status == status
            ],
        )
