"""The resource /domains: from a request to a question for `Domains`, and from its answer to a response."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.body import read_json, read_nothing
from api.caller import Callers, domain_id, raw_query
from api.idempotency import HEADER as IDEMPOTENCY_HEADER
from api.idempotency import REPLAYED_HEADER, idempotency
from api.instructions import Target
from api.names import Names
from api.pagination import decode_cursor, encode_cursor
from api.paging import PAGING, page, parse_page
from api.problems import Problem
from api.query import parse_choice, parse_query
from api.representation import detail, registration
from api.service import STATUSES, DomainExists, Domains, Position, Reply
from core.domain import Domain

OPERATION_ADD = "POST /domains"


class DomainsResource:
    """Handlers of `api.operations.OPERATIONS`."""

    def __init__(
        self, domains: Domains, callers: Callers, names: Names, target: Target, now: Callable[[], datetime]
    ) -> None:
        self._domains = domains
        self._callers = callers
        self._names = names
        self._target = target
        self._now = now

    async def add(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        hostname = self._names.parse((await read_json(request, ("hostname",)))["hostname"], "/hostname")
        key = idempotency(request.headers.getlist(IDEMPOTENCY_HEADER), OPERATION_ADD, hostname)
        path = request.scope["path"]

        def reply(domain: Domain) -> Reply:
            body = json.dumps(registration(domain, self._target), separators=(",", ":"))
            return Reply(body, f"{path}/{domain.id}")

        try:
            added = await self._domains.add(caller, hostname, key, reply)
        except DomainExists as error:
            raise Problem.of(error, domain=f"{path}/{error.domain_id}") from None
        headers = {"Location": added.reply.location}
        if added.replayed:
            headers[REPLAYED_HEADER] = "true"
        return Response(added.reply.body, 201, headers, "application/json")

    async def list(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parameters = parse_query(raw_query(request), (*PAGING, "status"))
        limit, after = parse_page(parameters, decode_cursor)
        status = parse_choice(parameters, "status", STATUSES)
        found = await self._domains.page(caller, after, status, limit + 1)
        shown, cursor = found[:limit], None
        if len(found) > limit:
            cursor = encode_cursor(Position(shown[-1].created_at, shown[-1].id))
        now = self._now()
        return page(request, parameters, [detail(domain, self._target, now) for domain in shown], cursor)

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        return self._detail(await self._domains.find(caller, domain_id(request)))

    async def delete(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await self._domains.delete(caller, domain_id(request))
        return Response(status_code=204)

    async def verify(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        if request.method == "POST":
            await read_nothing(request)
        verification = await self._domains.verify(caller, domain_id(request))
        return self._detail(verification.domain, 202 if verification.requested else 200)

    async def pause(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        return self._detail(await self._domains.pause(caller, domain_id(request)))

    async def resume(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        return self._detail(await self._domains.resume(caller, domain_id(request)), 202)

    async def renew(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        renewal = await self._domains.renew(caller, domain_id(request))
        return self._detail(renewal.domain, 202 if renewal.requested else 200)

    def _detail(self, domain: Domain, status: int = 200) -> Response:
        return JSONResponse(detail(domain, self._target, self._now()), status)
