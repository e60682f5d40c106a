"""The resource /domains: from a request to a question for `Domains`, and from its answer to a response."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import Authenticator, Principal
from api.body import read_json, read_nothing
from api.idempotency import HEADER as IDEMPOTENCY_HEADER
from api.idempotency import REPLAYED_HEADER, idempotency
from api.instructions import Target
from api.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor
from api.problems import Problem
from api.query import parse_choice, parse_count, parse_query
from api.representation import detail, registration
from api.service import STATUSES, DomainExists, DomainNotFound, Domains, Position, Reply
from core.domain import Domain
from core.hostname import HostnameError, HostnameRules, parse_hostname

OPERATION_ADD = "POST /domains"


class DomainsResource:
    """The handlers of `api.operations.OPERATIONS`."""

    def __init__(self, domains: Domains, authenticator: Authenticator, rules: HostnameRules, target: Target) -> None:
        self._domains = domains
        self._authenticator = authenticator
        self._rules = rules
        self._target = target

    async def add(self, request: Request) -> Response:
        caller = await self._caller(request)
        parse_query(_query(request))
        hostname = self._hostname((await read_json(request, ("hostname",)))["hostname"])
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
        caller = await self._caller(request)
        parameters = parse_query(_query(request), ("limit", "cursor", "status"))
        limit = parse_count(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        status = parse_choice(parameters, "status", STATUSES)
        after = None
        if "cursor" in parameters:
            after = decode_cursor(parameters["cursor"])
            if after is None:
                raise Problem("invalid_cursor", "The cursor is not one that this API made.", parameter="cursor")
        found = await self._domains.page(caller, after, status, limit + 1)
        page = found[:limit]
        cursor = None
        headers = {}
        if len(found) > limit:
            cursor = encode_cursor(Position(page[-1].created_at, page[-1].id))
            query = urlencode({**parameters, "cursor": cursor})
            headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
        data = [detail(domain, self._target) for domain in page]
        return JSONResponse({"data": data, "nextCursor": cursor}, headers=headers)

    async def show(self, request: Request) -> Response:
        caller = await self._caller(request)
        parse_query(_query(request))
        return self._detail(await self._domains.find(caller, _id(request)))

    async def delete(self, request: Request) -> Response:
        caller = await self._caller(request)
        parse_query(_query(request))
        await self._domains.delete(caller, _id(request))
        return Response(status_code=204)

    async def verify(self, request: Request) -> Response:
        caller = await self._caller(request)
        parse_query(_query(request))
        if request.method == "POST":
            await read_nothing(request)
        verification = await self._domains.verify(caller, _id(request))
        return self._detail(verification.domain, 202 if verification.requested else 200)

    async def _caller(self, request: Request) -> Principal:
        values = request.headers.getlist("authorization")
        if len(values) > 1:
            raise Problem("token_malformed", "Send one Authorization header.")
        caller = await self._authenticator.authenticate(values[0] if values else None)
        request.state.tenant_id = str(caller.tenant_id)
        # RFC 9110 section 13.1.1: nothing here has an entity tag, so no list of them can hold.
        if request.headers.get("if-match", "*") != "*":
            raise Problem("precondition_failed")
        return caller

    def _hostname(self, text: str) -> str:
        """Raises Problem."""
        try:
            hostname = parse_hostname(text, allow_wildcard=True, rules=self._rules)
        except HostnameError as error:
            raise Problem.of(error, pointer="/hostname") from None
        if hostname.startswith("*."):
            raise Problem("wildcard_unsupported", pointer="/hostname")
        return hostname

    def _detail(self, domain: Domain, status: int = 200) -> Response:
        body: dict[str, Any] = detail(domain, self._target)
        return JSONResponse(body, status)


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _id(request: Request) -> UUID:
    """Raises DomainNotFound for what is no UUID in its one usual spelling: no domain has such an id."""
    text = request.path_params["id"]
    try:
        domain_id = UUID(text)
    except ValueError:
        raise DomainNotFound from None
    if str(domain_id) != text.lower():
        raise DomainNotFound
    return domain_id
