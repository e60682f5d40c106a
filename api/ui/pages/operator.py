"""The operator's pages: what is wrong first, then the fleet, any tenant's domain, the CAs, notifications and the audit.

They look at what `api.overview` shows, by the same wishes and cursors as the REST API. The one thing that is done
here is to send once more a notification that was given up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.auth import Operator
from api.caller import delivery_id, domain_id, raw_query
from api.endpoints import DELIVERY_STATES, DeliveryState
from api.overview.audit import AuditWanted
from api.overview.domains import Wanted
from api.overview.explanations import facts
from api.overview.overview import Overview
from api.overview.places import Place, decode_place, encode_place
from api.overview.troubles import troubles
from api.overview.view import question_of
from api.overview.wishes import AUDIT_PARAMETERS, DOMAIN_PARAMETERS, audit_wanted, domains_wanted
from api.pagination import decode_entry_cursor, encode_entry_cursor
from api.problems import Problem
from api.query import parse_choice, parse_query
from api.routing import Handler
from api.service import SSL_STATUSES, STATUSES
from api.ui.guard import Guard, see
from api.ui.texts import STATUS_WORDS
from api.ui.view import View

HOME = "/ui/operator"
PAGE = 50
OF_DOMAIN = 20  # entries of the audit on a domain's page
EXPLAIN_PARAMETERS = ("host", "sni", "path", "sidecar")
PLATFORM = UUID(int=0)  # whose chain of the audit the platform's own is


class OperatorPages:
    """`overview`: None where it is not offered."""

    def __init__(self, guard: Guard, view: View, overview: Overview | None) -> None:
        self._guard = guard
        self._view = view
        self._offered = overview

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {
            f"{HOME}/": {"GET": self.home},
            HOME: {"GET": _to_the_home},
            f"{HOME}/fleet": {"GET": self.fleet},
            f"{HOME}/domains": {"GET": self.domains},
            f"{HOME}/domains/{{id}}": {"GET": self.domain},
            f"{HOME}/failing": {"GET": self.failing},
            f"{HOME}/limits": {"GET": self.limits},
            f"{HOME}/cas": {"GET": self.cas},
            f"{HOME}/deliveries": {"GET": self.deliveries},
            f"{HOME}/deliveries/{{delivery}}/retry": {"GET": self.deliveries, "POST": self.retry},
            f"{HOME}/audit": {"GET": self.audit},
            f"{HOME}/explain": {"GET": self.explain},
        }

    async def home(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        fleet, figures = await overview.fleet(caller), await overview.figures(caller)
        replicas, limits = await overview.replicas(caller), await overview.limits(caller)
        by_status: dict[str, int] = dict.fromkeys(STATUSES, 0)
        for one in figures.states:
            by_status[one.status] = by_status.get(one.status, 0) + one.number
        return self._view.render(
            request,
            "operator.html",
            fleet=fleet,
            figures=figures,
            replicas=replicas,
            limits=limits,
            troubles=troubles(fleet, figures, replicas, limits),
            by_status=by_status,
            words=STATUS_WORDS,
        )

    async def fleet(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return self._view.render(request, "operator_fleet.html", fleet=await overview.fleet(caller))

    async def domains(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *DOMAIN_PARAMETERS, "cursor")
        wanted = domains_wanted({name: value for name, value in given.items() if name != "cursor"})
        after = _after(given, wanted.view)
        found = await overview.domains(caller, wanted, after, PAGE + 1)
        cursor = encode_place(found[PAGE - 1].place, wanted.view) if len(found) > PAGE else None
        return self._view.render(
            request,
            "operator_domains.html",
            domains=found[:PAGE],
            wanted=wanted,
            title=wanted_words(wanted),
            first=after is None,
            start=_address("domains", given),
            more=cursor and _address("domains", given, cursor),
            words=STATUS_WORDS,
            statuses=STATUSES,
            ssl_statuses=SSL_STATUSES,
        )

    async def domain(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        found = await overview.domain(caller, domain_id(request))
        history = await overview.audit(caller, AuditWanted(hostname=found.row.hostname), None, OF_DOMAIN)
        findings = [
            (name, finding, _readable(finding.detail))
            for name, finding in (("DNS", found.dns), ("Certificate", found.ssl))
            if finding is not None
        ]
        return self._view.render(
            request, "operator_domain.html", facts=found, domain=found.row, findings=findings, entries=_entries(history)
        )

    async def failing(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return self._view.render(request, "operator_failing.html", figures=await overview.figures(caller))

    async def limits(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return self._view.render(request, "operator_limits.html", limits=await overview.limits(caller))

    async def cas(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        replicas = await overview.replicas(caller)
        names = sorted({(one.name, one.directory_url) for replica in replicas for one in replica.cas})
        return self._view.render(request, "operator_cas.html", replicas=replicas, cas=names)

    async def deliveries(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, "state", "cursor")
        state = cast(DeliveryState, parse_choice(given, "state", DELIVERY_STATES) or "dead")
        after = _after(given, state)
        found = await overview.deliveries(caller, state, after, PAGE + 1)
        cursor = encode_place(found[PAGE - 1].place, state) if len(found) > PAGE else None
        return self._view.render(
            request,
            "operator_deliveries.html",
            deliveries=found[:PAGE],
            state=state,
            states=DELIVERY_STATES,
            first=after is None,
            start=_address("deliveries", {"state": state}),
            more=cursor and _address("deliveries", {"state": state}, cursor),
        )

    async def retry(self, request: Request) -> Response:
        visitor = await self._guard.operator(request)
        await self._guard.form(request, visitor)
        await self._overview().retry(visitor.operator, delivery_id(request))
        return see(f"{HOME}/deliveries?notice=retried")

    async def audit(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *AUDIT_PARAMETERS, "cursor")
        wanted = audit_wanted(given)
        before = None if "cursor" not in given else decode_entry_cursor(given["cursor"])
        found = await overview.audit(caller, wanted, before, PAGE + 1)
        figures = await overview.figures(caller)
        cursor = encode_entry_cursor(found[PAGE - 1].id) if len(found) > PAGE else None
        return self._view.render(
            request,
            "operator_audit.html",
            entries=_entries(found[:PAGE]),
            asked={name: given.get(name, "") for name in AUDIT_PARAMETERS},
            figures=figures,
            first=before is None,
            start=_address("audit", given),
            more=cursor and _address("audit", given, cursor),
        )

    async def explain(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *EXPLAIN_PARAMETERS)
        explanation = None
        if "host" in given:
            explanation = await overview.explain(caller, *question_of(given))
        answers = explanation.sidecars if explanation else ()
        return self._view.render(
            request,
            "operator_explain.html",
            asked={name: given.get(name, "") for name in EXPLAIN_PARAMETERS},
            explanation=explanation,
            answered=[one.sidecar for one in answers if one.answer is not None],
            unheard=[one for one in answers if one.answer is None],
            facts=facts(answers),
            whole=[(one.sidecar, _readable(one.answer)) for one in answers if one.answer is not None],
        )

    async def _begin(self, request: Request, *allowed: str) -> tuple[Operator, Overview, Mapping[str, str]]:
        """Who looks, at what, and what the address asks for: a field that was left empty does not."""
        visitor = await self._guard.operator(request)
        given = parse_query(raw_query(request), (*allowed, "notice"))
        asked = {name: value.strip() for name, value in given.items() if value.strip() and name != "notice"}
        return visitor.operator, self._overview(), asked

    def _overview(self) -> Overview:
        if self._offered is None:
            raise Problem("admin_unavailable")
        return self._offered


async def _to_the_home(_request: Request) -> Response:
    return see(f"{HOME}/")


def _address(page: str, given: Mapping[str, str], cursor: str | None = None) -> str:
    query = {name: value for name, value in given.items() if name != "cursor"}
    if cursor is not None:
        query["cursor"] = cursor
    return f"{HOME}/{page}" + ("?" + urlencode(query) if query else "")


def _after(given: Mapping[str, str], view: str) -> Place | None:
    """Where the page begins; at the front for a cursor that somebody has edited."""
    found = decode_place(given.get("cursor", ""))
    return None if found is None or found[1] != view else found[0]


def _entries(rows: Sequence[Any]) -> Sequence[tuple[Any, str, bool]]:
    """Each with its facts as text, and whether it is of the platform itself."""
    return [
        (row, ", ".join(f"{name}: {_short(value)}" for name, value in row.detail.items()), row.tenant_id == PLATFORM)
        for row in rows
    ]


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _readable(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def wanted_words(wanted: Wanted) -> str:
    """The title of a list."""
    match wanted.view:
        case "search":
            return f"Names with “{wanted.text}”"
        case "status":
            words = STATUS_WORDS.get(wanted.status or "", wanted.status or "")
            return words if wanted.ssl_status is None else f"{words}, certificate {wanted.ssl_status}"
        case "tenant":
            return "Domains of one tenant"
        case "failing":
            return "Failing domains" if wanted.code is None else f"Failing: {wanted.code}"
        case "paused":
            return "Paused domains"
        case "expiring":
            return f"Certificates that end within {wanted.days} day{'' if wanted.days == 1 else 's'}"
        case "late":
            return "Renewals that are late"
        case _:
            return "All domains"
