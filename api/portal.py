"""POST /portal/sessions: a link by which the platform hands a person over to the pages, as that tenant or operator."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import Operator, Principal
from api.body import check_content_type, members, read, read_nothing
from api.caller import Callers, raw_query
from api.problems import Problem
from api.query import parse_query
from api.representation import timestamp
from api.service import DomainNotFound, Domains
from api.ui.links import Links


class PortalResource:
    """`links`: None where the pages are not offered."""

    def __init__(self, domains: Domains, callers: Callers, links: Links | None) -> None:
        self._domains = domains
        self._callers = callers
        self._links = links

    async def open(self, request: Request) -> Response:
        """For a tenant's person, on the list or on a domain's page."""
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        wanted = await _domain(request)
        links = self._offered()
        if wanted is not None:
            await self._domains.find(caller, wanted)
        return await _link(links, caller, wanted)

    async def open_operator(self, request: Request) -> Response:
        caller = await self._callers.operator(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        return await _link(self._offered(), caller)

    def _offered(self) -> Links:
        if self._links is None:
            raise Problem("portal_not_offered")
        return self._links


async def _link(links: Links, who: Principal | Operator, domain: UUID | None = None) -> Response:
    link = await links.make(who, domain)
    return JSONResponse({"url": link.url, "expiresAt": timestamp(link.expires_at)}, 201)


async def _domain(request: Request) -> UUID | None:
    """Of the body, which may be left out. Raises Problem, and DomainNotFound for what is no UUID."""
    raw = await read(request)
    if not raw:
        return None
    check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
    text = members(raw, {}, {"domain": str}).get("domain")
    if text is None:
        return None
    try:
        found = UUID(text)
    except ValueError:
        raise DomainNotFound from None
    if str(found) != text.lower():
        raise DomainNotFound
    return found
