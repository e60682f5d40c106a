"""What a pre-flight found: one check after another, what was expected against what was found.

{"ok": false, "usable": ["https://…/directory"], "checks": [
    {"check": "addresses", "code": "ipv6_elsewhere", "ok": false, "blocking": true, "who": "tenant",
     "message": "…", "expected": {…}, "found": {…}}, …]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from control.preflight.codes import EXPLANATIONS, Code, Level
from core.domain import Finding

Challenge = Literal["http-01", "dns-01"]

# Whose fault is named when several things block: what somebody can mend goes before what has to be waited for.
PRECEDENCE = ("tenant", "operator", "ca", "nobody")


@dataclass(frozen=True, slots=True)
class CaFacts:
    """A CA that may be asked. `identities`: its directory's caaIdentities. `account_url`: None before there is one."""

    directory_url: str
    identities: Sequence[str] = ()
    account_url: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """`name`: which check. `code`: stable, snake_case. `blocking`: an order would come to nothing.

    `expected` and `found` are JSON, bounded in size, and without control characters.
    """

    name: str
    code: str
    ok: bool
    blocking: bool
    who: str
    message: str
    expected: Any
    found: Any

    def to_json(self) -> Mapping[str, Any]:
        return {
            "check": self.name,
            "code": self.code,
            "ok": self.ok,
            "blocking": self.blocking,
            "who": self.who,
            "message": self.message,
            "expected": self.expected,
            "found": self.found,
        }


def check(kind: str, code: Code, expected: Any, found: Any, /, *, harmless: bool = False, **fields: object) -> Check:
    """By the table of codes. `fields`: of its sentence. `harmless`: it does not matter for this kind of challenge."""
    level, who, sentence = EXPLANATIONS[code]
    return Check(
        name=kind,
        code=str(code),
        ok=level is Level.OK,
        blocking=level is Level.BLOCKING and not harmless,
        who=who,
        message=sentence.format(**fields),
        expected=expected,
        found=found,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """`checks`: the cause before its consequences. `usable`: directory URLs of the CAs that CAA lets issue."""

    checks: Sequence[Check]
    usable: Sequence[str]

    @property
    def ok(self) -> bool:
        """Nothing stands against an order."""
        return not self.blocking

    @property
    def blocking(self) -> Sequence[Check]:
        return [one for one in self.checks if one.blocking]

    def finding(self, now: datetime) -> Finding | None:
        """What stands against an order, in one sentence; None when nothing does."""
        if not self.blocking:
            return None
        first = min(self.blocking, key=lambda one: PRECEDENCE.index(one.who))
        detail = {
            "check": first.name,
            "expected": first.expected,
            "found": first.found,
            "also": [one.code for one in self.blocking if one is not first],
        }
        return Finding(first.code, first.message, first.who, now, detail)

    def to_json(self) -> Mapping[str, Any]:
        return {"ok": self.ok, "usable": list(self.usable), "checks": [one.to_json() for one in self.checks]}
