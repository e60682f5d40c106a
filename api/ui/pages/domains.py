"""A tenant's domains: the list, what the plan allows, and adding one."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from api.caller import raw_query
from api.names import Names
from api.pagination import decode_cursor, encode_cursor
from api.problems import Problem
from api.query import parse_choice
from api.routing import Handler
from api.service import STATUSES, DomainExists, Domains, DomainsError, Position, Reply
from api.ui.guard import Guard, beside, see, text
from api.ui.sessions import Visitor
from api.ui.texts import STATUS_WORDS
from api.ui.view import View
from core.domain import Domain

PAGE = 25  # domains
MAX_SHOWN = 300  # characters of what was typed wrongly


class DomainsPages:
    def __init__(self, guard: Guard, view: View, domains: Domains, names: Names) -> None:
        self._guard = guard
        self._view = view
        self._domains = domains
        self._names = names

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {"/ui/": {"GET": self.list}, "/ui/domains": {"GET": self.list, "POST": self.add}}

    async def list(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        return await self._list(request, visitor)

    async def add(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        typed = text(await self._guard.form(request, visitor), "hostname").strip()
        made: list[Domain] = []

        def reply(domain: Domain) -> Reply:
            made.append(domain)
            return Reply("", f"/ui/domains/{domain.id}")

        try:
            hostname = self._names.parse(typed, "/hostname")
            added = await self._domains.add(visitor.principal, hostname, None, reply)
        except DomainExists as error:
            return see(f"/ui/domains/{error.domain_id}?notice=exists")
        except (Problem, DomainsError) as error:
            return await self._list(request, visitor, typed=typed[:MAX_SHOWN], problem=beside(error))
        return see(f"{added.reply.location}?notice=added")

    async def _list(
        self, request: Request, visitor: Visitor, *, typed: str = "", problem: Problem | None = None
    ) -> Response:
        status, after = (None, None) if request.method == "POST" else _wanted(request)
        found = await self._domains.page(visitor.principal, after, status, PAGE + 1)
        quota = await self._domains.quota(visitor.principal)
        page, more = found[:PAGE], None
        if len(found) > PAGE:
            last = Position(page[-1].created_at, page[-1].id)
            more = "/ui/?" + urlencode(({"status": status} if status else {}) | {"cursor": encode_cursor(last)})
        return self._view.render(
            request,
            "domains.html",
            problem=problem,
            domains=page,
            status=status,
            words=STATUS_WORDS,
            wildcards=self._names.wildcards,
            statuses=[one for one in STATUSES if quota.by_status.get(one)],
            first=after is None,
            more=more,
            quota=quota,
            typed=typed,
        )


def _wanted(request: Request) -> tuple[str | None, Position | None]:
    """What the address asks for; what it asks for wrongly is passed over, as people edit addresses."""
    parameters = dict(request.query_params) if len(raw_query(request)) < 1000 else {}
    try:
        status = parse_choice(parameters, "status", STATUSES)
    except Problem:
        status = None
    return status, decode_cursor(parameters.get("cursor", ""))
