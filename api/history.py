"""GET /domains/{id}/audit: what happened to a domain of the tenant's, newest first."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.caller import Callers, domain_id, raw_query
from api.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_entry_cursor, encode_entry_cursor
from api.problems import Problem
from api.query import parse_count, parse_query
from api.representation import audit_entry
from api.service import Domains


class HistoryResource:
    def __init__(self, domains: Domains, callers: Callers) -> None:
        self._domains = domains
        self._callers = callers

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parameters = parse_query(raw_query(request), ("limit", "cursor"))
        limit = parse_count(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        before = None
        if "cursor" in parameters:
            before = decode_entry_cursor(parameters["cursor"])
            if before is None:
                raise Problem("invalid_cursor", "The cursor is not one that this API made.", parameter="cursor")
        found = await self._domains.history(caller, domain_id(request), before, limit + 1)
        page = found[:limit]
        cursor = None
        headers = {}
        if len(found) > limit:
            cursor = encode_entry_cursor(page[-1].id)
            query = urlencode({**parameters, "cursor": cursor})
            headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
        return JSONResponse({"data": [audit_entry(entry) for entry in page], "nextCursor": cursor}, headers=headers)
