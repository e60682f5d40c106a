"""What a check has seen: that all is well, or something of the table of findings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cli.doctor.findings import FINDINGS, Level

PATIENCE = 15.0  # seconds for a check that has no limit of its own


@dataclass(frozen=True, slots=True)
class Finding:
    """`check`: what was looked at. `code`: of the table of findings; empty when all is well, and so is `mend`."""

    check: str
    seen: str
    level: Level = Level.WELL
    code: str = ""
    mend: str = ""


Look = Callable[[], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """`seconds`: after which it is given up, and the finding is that it did not end."""

    name: str
    look: Look
    seconds: float = PATIENCE


def well(check: str, seen: str) -> Finding:
    return Finding(check, seen)


def found(code: str, check: str, seen: str, **facts: object) -> Finding:
    """`facts`: what the mend of this finding has placeholders for; none of them a secret."""
    known = FINDINGS[code]
    return Finding(check, seen, known.level, code, known.mend.format(**facts))
