"""The resource /portal/sessions: a link by which the platform hands a person over to the pages, as that tenant or
operator, and the end of all sessions of a person.
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import MAX_SUBJECT, Operator, Principal
from api.body import check_content_type, members, read, read_nothing
from api.caller import Callers, raw_query
from api.identifiers import parse_uuid
from api.problems import Problem
from api.query import NO_CONTROL, parse_query, parse_text
from api.representation import timestamp
from api.service import DomainNotFound, Domains
from api.ui.app import Ui


class PortalResource:
    """`ui`: None where the pages are not offered."""

    def __init__(self, domains: Domains, callers: Callers, ui: Ui | None) -> None:
        self._domains = domains
        self._callers = callers
        self._ui = ui

    async def open(self, request: Request) -> Response:
        """For a tenant's person, on the list or on a domain's page."""
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        wanted = await _domain(request)
        ui = self._offered()
        if wanted is not None:
            await self._domains.find(caller, wanted)
        return await _link(ui, caller, wanted)

    async def open_operator(self, request: Request) -> Response:
        caller = await self._callers.operator(request)
        parse_query(raw_query(request))
        await read_nothing(request)
        return await _link(self._offered(), caller)

    async def end(self, request: Request) -> Response:
        """All of a tenant's person."""
        return await self._end(request, await self._callers.of(request))

    async def end_operator(self, request: Request) -> Response:
        return await self._end(request, await self._callers.operator(request))

    async def _end(self, request: Request, caller: Principal | Operator) -> Response:
        subject = parse_text(parse_query(raw_query(request), ("subject",)), "subject", MAX_SUBJECT, NO_CONTROL)
        return JSONResponse({"ended": await self._offered().sessions.end_all(caller, subject)})

    def _offered(self) -> Ui:
        if self._ui is None:
            raise Problem("portal_not_offered")
        return self._ui


async def _link(ui: Ui, who: Principal | Operator, domain: UUID | None = None) -> Response:
    link = await ui.links.make(who, domain)
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
    found = parse_uuid(text)
    if found is None:
        raise DomainNotFound
    return found
