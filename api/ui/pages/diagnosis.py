"""Everything that stands between a domain and its certificate, looked at now because somebody wants to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.caller import domain_id
from api.diagnosis import Diagnoses
from api.problems import Problem
from api.routing import Handler
from api.service import Domains
from api.ui.guard import Guard
from api.ui.situation import WHO
from api.ui.view import View
from core.errors import NameplateError

# check → what it asks, in words.
TITLES: Mapping[str, str] = {
    "ownership": "Is the name yours?",
    "dnssec": "Can its DNS be resolved?",
    "addresses": "Does it lead here?",
    "port80": "Do we answer where it leads?",
    "delegation": "May we answer the DNS challenge?",
    "caa": "May our certificate authorities issue?",
}
LONGEST = 2000  # characters of a value


@dataclass(frozen=True, slots=True)
class Shown:
    """A check for people's eyes. `level`: good, wait (it does no harm) or bad. '' where there is nothing to say."""

    title: str
    level: str
    message: str
    who: str
    expected: str
    found: str


class DiagnosisPages:
    def __init__(
        self, guard: Guard, view: View, domains: Domains, diagnoses: Diagnoses, now: Callable[[], datetime]
    ) -> None:
        self._guard = guard
        self._view = view
        self._domains = domains
        self._diagnoses = diagnoses
        self._now = now

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {"/ui/domains/{id}/checks": {"GET": self.ask, "POST": self.show}}

    async def ask(self, request: Request) -> Response:
        """Nothing is looked at before somebody presses the button: a look asks strangers' servers."""
        visitor = await self._guard.tenant(request)
        domain = await self._domains.find(visitor.principal, domain_id(request))
        return self._view.render(
            request, "domain_checks.html", domain=domain, shown=None, ok=False, at=None, tab="checks"
        )

    async def show(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        await self._guard.form(request, visitor)
        domain = await self._domains.find(visitor.principal, domain_id(request))
        shown, problem, ok = None, None, False
        try:
            _, report = await self._diagnoses.of(visitor.principal, domain.id)
            shown, ok = checks_of(report), bool(report.get("ok"))
        except NameplateError as error:
            problem = Problem.of(error)
        return self._view.render(
            request,
            "domain_checks.html",
            problem=problem,
            domain=domain,
            shown=shown,
            ok=ok,
            at=self._now(),
            tab="checks",
        )


def checks_of(report: Mapping[str, Any]) -> Sequence[Shown]:
    return [
        Shown(
            title=TITLES.get(str(one["check"]), str(one["check"]).replace("_", " ").capitalize()),
            level="good" if one["ok"] else "bad" if one["blocking"] else "wait",
            message=str(one["message"]),
            who=WHO.get(one["who"], ""),
            expected=in_lines(one["expected"]),
            found=in_lines(one["found"]),
        )
        for one in report["checks"]
    ]


def in_lines(value: Any, depth: int = 3) -> str:
    """JSON as people read it: a line for each member, `name: value`; without what is empty."""
    return "\n".join(_lines(value, depth))[:LONGEST]


def _lines(value: Any, depth: int) -> list[str]:
    if value in (None, "", [], {}):
        return []
    if isinstance(value, Mapping):
        if depth == 0:
            return [json.dumps(value)]
        lines = []
        for name, one in value.items():
            below = _lines(one, depth - 1)
            if len(below) == 1:
                lines.append(f"{name}: {below[0]}")
            elif below:
                lines += [f"{name}:", *(f"  {line}" for line in below)]
        return lines
    if isinstance(value, list | tuple):
        return [", ".join(str(one) for one in value)]
    return [str(value)]
