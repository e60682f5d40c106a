"""The operator's view as resources: /admin/overview, /admin/sidecars, /admin/domains, /admin/limits, /admin/cas,
/admin/deliveries, /admin/audit, /admin/explain. All but a retry only look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.cursors import decode_place, encode_place
from api.admin.overview import Overview, Place
from api.admin.shown import (
    audit_of,
    cas_of,
    delivery_of,
    domain_of,
    explanation_of,
    facts_of,
    fleet_of,
    limits_of,
    overview_of,
)
from api.admin.troubles import troubles
from api.admin.wishes import AUDIT_PARAMETERS, DOMAIN_PARAMETERS, VISIBLE, audit_wanted, domains_wanted
from api.auth import Operator
from api.body import read_nothing
from api.caller import Callers, domain_id, raw_query
from api.conditions import Condition
from api.endpoints import DELIVERY_STATES, DeliveryNotFound, DeliveryState
from api.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_entry_cursor, encode_entry_cursor
from api.problems import Problem
from api.query import parse_choice, parse_count, parse_query
from core.hostname import normalize_host_header
from core.question import LONGEST_NAME, LONGEST_PATH

LONGEST_SIDECAR = 200
PAGING = ("limit", "cursor")

T = TypeVar("T")


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
        limit, after = _page(given, wanted.view)
        found = await overview.domains(caller, wanted, after, limit + 1)
        return _list(request, given, [domain_of(row) for row in found[:limit]], _next(found, limit, wanted.view))

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
        limit, after = _page(given, state)
        found = await overview.deliveries(caller, state, after, limit + 1)
        return _list(request, given, [delivery_of(row) for row in found[:limit]], _next(found, limit, state))

    async def retry(self, request: Request) -> Response:
        caller, overview, _ = await self._begin(request)
        await read_nothing(request)
        return JSONResponse(delivery_of(await overview.retry(caller, delivery_id(request))), 202)

    async def audit(self, request: Request) -> Response:
        caller, overview, given = await self._begin(request, *PAGING, *AUDIT_PARAMETERS)
        wanted = audit_wanted(given)
        limit = parse_count(given, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        before = _sound(given, decode_entry_cursor)
        found = await overview.audit(caller, wanted, before, limit + 1)
        cursor = encode_entry_cursor(found[limit - 1].id) if len(found) > limit else None
        return _list(request, given, [audit_of(row) for row in found[:limit]], cursor)

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


def delivery_id(request: Request) -> UUID:
    """Raises DeliveryNotFound for what is no UUID in its one usual spelling."""
    text: str = request.path_params["delivery"]
    try:
        found = UUID(text)
    except ValueError:
        raise DeliveryNotFound from None
    if str(found) != text.lower():
        raise DeliveryNotFound
    return found


def _page(given: Mapping[str, str], view: str) -> tuple[int, Place | None]:
    limit = parse_count(given, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    found = _sound(given, decode_place)
    if found is not None and found[1] != view:
        raise Problem("filters_conflict", "The cursor is of another list than the one asked for.", parameter="cursor")
    return limit, None if found is None else found[0]


def _sound(given: Mapping[str, str], decode: Callable[[str], T | None]) -> T | None:
    """Raises Problem."""
    if "cursor" not in given:
        return None
    place = decode(given["cursor"])
    if place is None:
        raise Problem("invalid_cursor", "The cursor is not one that this API made.", parameter="cursor")
    return place


def _next(found: Sequence[Any], limit: int, view: str) -> str | None:
    return encode_place(found[limit - 1].place, view) if len(found) > limit else None


def _list(request: Request, given: Mapping[str, str], data: Sequence[Any], cursor: str | None) -> Response:
    headers = {}
    if cursor is not None:
        query = urlencode({**given, "cursor": cursor})
        headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    return JSONResponse({"data": data, "nextCursor": cursor}, headers=headers)
