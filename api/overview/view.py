"""The operator's view as resources: /admin/overview, /admin/sidecars, /admin/domains, /admin/limits, /admin/cas,
/admin/deliveries, /admin/audit, /admin/explain. All but a retry only look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import Operator
from api.body import read_nothing
from api.caller import Callers, delivery_id, domain_id, raw_query
from api.conditions import Condition
from api.endpoints import DELIVERY_STATES, DeliveryState
from api.overview.audit import audit_of
from api.overview.deliveries import delivery_of
from api.overview.domains import domain_of, facts_of
from api.overview.explanations import explanation_of
from api.overview.figures import Figures, figures_of
from api.overview.fleet import Fleet, fleet_of
from api.overview.limits import limits_of
from api.overview.overview import Overview
from api.overview.places import Place, decode_place, encode_place
from api.overview.replicas import cas_of
from api.overview.troubles import Trouble, trouble_of, troubles
from api.overview.wishes import AUDIT_PARAMETERS, DOMAIN_PARAMETERS, audit_wanted, domains_wanted
from api.pagination import decode_entry_cursor, encode_entry_cursor
from api.paging import PAGING, page, parse_page
from api.problems import Problem
from api.query import VISIBLE, parse_choice, parse_query
from api.representation import timestamp
from core.hostname import normalize_host_header
from core.question import LONGEST_NAME, LONGEST_PATH

LONGEST_SIDECAR = 200


class OverviewResource:
    """`overview`: None where it is not offered."""

    def __init__(self, overview: Overview | None, callers: Callers) -> None:
        self._offered = overview
        self._callers = callers

    async def show(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        fleet, figures = await overview.fleet(caller), await overview.figures(caller)
        replicas, limits = await overview.replicas(caller), await overview.limits(caller)
        return JSONResponse(overview_of(fleet, figures, troubles(fleet, figures, replicas, limits)))

    async def sidecars(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return JSONResponse(fleet_of(await overview.fleet(caller)))

    async def domains(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *PAGING, *DOMAIN_PARAMETERS)
        wanted = domains_wanted(given)
        limit, after = _place(given, wanted.view)
        found = await overview.domains(caller, wanted, after, limit + 1)
        return page(request, given, [domain_of(row) for row in found[:limit]], _next(found, limit, wanted.view))

    async def domain(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return JSONResponse(facts_of(await overview.domain(caller, domain_id(request))))

    async def limits(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return JSONResponse(limits_of(await overview.limits(caller)))

    async def cas(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        return JSONResponse(cas_of(await overview.replicas(caller)))

    async def deliveries(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *PAGING, "state")
        state = cast(DeliveryState, parse_choice(given, "state", DELIVERY_STATES) or "dead")
        limit, after = _place(given, state)
        found = await overview.deliveries(caller, state, after, limit + 1)
        return page(request, given, [delivery_of(row) for row in found[:limit]], _next(found, limit, state))

    async def retry(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        await read_nothing(request)
        return JSONResponse(delivery_of(await overview.retry(caller, delivery_id(request))), 202)

    async def audit(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *PAGING, *AUDIT_PARAMETERS)
        wanted = audit_wanted(given)
        limit, before = parse_page(given, decode_entry_cursor)
        found = await overview.audit(caller, wanted, before, limit + 1)
        cursor = encode_entry_cursor(found[limit - 1].id) if len(found) > limit else None
        return page(request, given, [audit_of(row) for row in found[:limit]], cursor)

    async def explain(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, "host", "sni", "path", "sidecar")
        host, sni, path, sidecar = question_of(given)
        return JSONResponse(explanation_of(await overview.explain(caller, host, sni, path, sidecar)))

    async def _begin(self, request: Request, *allowed: str) -> tuple[Operator, Overview, Mapping[str, str]]:
        caller = await self._callers.operator(request)
        Condition.of(request).check_untagged()
        given = parse_query(raw_query(request), allowed)
        if self._offered is None:
            raise Problem("admin_unavailable")
        return caller, self._offered, given


def overview_of(fleet: Fleet, figures: Figures, found: Sequence[Trouble]) -> dict[str, Any]:
    live = fleet.live
    return {
        "at": timestamp(fleet.now),
        "replica": fleet.replica,
        "problems": [trouble_of(one) for one in found],
        "sidecars": {
            "live": len(live),
            "upToDate": sum(one.newest for one in live),
            "gone": len(fleet.sidecars) - len(live),
            "heardAll": fleet.heard_all,
        },
        "envoys": {
            "connected": sum(one.envoys or 0 for one in live),
            "acknowledged": sum(one.acknowledged for one in live),
            "rejecting": sum(one.rejected for one in live),
        },
        "figures": figures_of(figures),
    }


def question_of(given: Mapping[str, str]) -> tuple[str, str, str, str | None]:
    """Host, SNI (of the host, unless one is given), path, and the sidecar that is asked; None: all. Raises Problem."""
    host = _visible(given, "host", LONGEST_NAME)
    if not host:
        raise Problem("invalid_parameter", "host must be given, as a client would write it.", parameter="host")
    path = _visible(given, "path", LONGEST_PATH) or "/"
    if not path.startswith("/"):
        raise Problem("invalid_parameter", "path begins with a slash.", parameter="path")
    sni = _visible(given, "sni", LONGEST_NAME) if "sni" in given else normalize_host_header(host) or ""
    return host, sni, path, _visible(given, "sidecar", LONGEST_SIDECAR) or None


def _visible(given: Mapping[str, str], name: str, longest: int) -> str:
    """As it would be on the wire; empty when it was left out."""
    value = given.get(name, "")
    if len(value) > longest or (value and VISIBLE.fullmatch(value) is None):
        raise Problem("invalid_parameter", f"{name} has at most {longest} visible ASCII characters.", parameter=name)
    return value


def _place(given: Mapping[str, str], view: str) -> tuple[int, Place | None]:
    """How many, and the place after which they begin, which is of this view. Raises Problem."""
    limit, found = parse_page(given, decode_place)
    if found is not None and found[1] != view:
        raise Problem("filters_conflict", "The cursor is of another list than the one asked for.", parameter="cursor")
    return limit, None if found is None else found[0]


def _next(found: Sequence[Any], limit: int, view: str) -> str | None:
    return encode_place(found[limit - 1].place, view) if len(found) > limit else None
