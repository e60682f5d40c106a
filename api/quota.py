"""GET /quota: how many domains the tenant's plan allows, and how many there are."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.caller import Callers, raw_query
from api.query import parse_query
from api.representation import allowance
from api.service import Domains


class QuotaResource:
    def __init__(self, domains: Domains, callers: Callers) -> None:
        self._domains = domains
        self._callers = callers

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return JSONResponse(allowance(await self._domains.quota(caller)))
