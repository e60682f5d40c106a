"""GET /domains/{id}/audit: what happened to a domain of the tenant's, newest first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.caller import Callers, domain_id, raw_query
from api.pagination import decode_entry_cursor, encode_entry_cursor
from api.paging import PAGING, page, parse_page
from api.query import parse_query
from api.representation import audit_entry
from api.service import Domains


class HistoryResource:
    def __init__(self, domains: Domains, callers: Callers) -> None:
        self._domains = domains
        self._callers = callers

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parameters = parse_query(raw_query(request), PAGING)
        limit, before = parse_page(parameters, decode_entry_cursor)
        found = await self._domains.history(caller, domain_id(request), before, limit + 1)
        cursor = encode_entry_cursor(found[limit - 1].id) if len(found) > limit else None
        return page(request, parameters, [audit_entry(entry) for entry in found[:limit]], cursor)
