"""In by a hand-over link, out by a button."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Operator
from api.routing import Handler
from api.ui.guard import Guard, see, text
from api.ui.links import Links, Ticket
from api.ui.refusals import Refused
from api.ui.sessions import Sessions, digest_of, new_token, tenant_of
from api.ui.view import View

log = structlog.get_logger(__name__)


class EntranceMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.entered = Counter(
            "nameplate_ui_sessions_total", "Sessions of the pages begun, by whose.", ["kind"], registry=registry
        )
        self.refused = Counter(
            "nameplate_ui_tickets_refused_total", "Hand-over links refused, by why.", ["reason"], registry=registry
        )


class Entrance:
    def __init__(self, guard: Guard, view: View, sessions: Sessions, links: Links, metrics: EntranceMetrics) -> None:
        self._guard = guard
        self._view = view
        self._sessions = sessions
        self._links = links
        self._metrics = metrics

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {
            "/ui/enter": {"GET": self.enter, "POST": self.change},
            "/ui/leave": {"POST": self.leave_tenant},
            "/ui/operator/leave": {"POST": self.leave_operator},
            "/ui/left": {"GET": self.left},
        }

    async def enter(self, request: Request) -> Response:
        if request.method == "HEAD":  # of a preview of the link, say, which must not use it up
            return Response(status_code=204)
        return await self._enter(request, request.query_params.get("ticket", ""), changes=False)

    async def change(self, request: Request) -> Response:
        """From one tenant's session to another's, which nobody is led into without a word."""
        visitor = await self._guard.tenant(request)
        form = await self._guard.form(request, visitor)
        return await self._enter(request, text(form, "ticket"), changes=True)

    async def _enter(self, request: Request, given: str, *, changes: bool) -> Response:
        try:
            ticket = await self._links.read(given)
            operator = isinstance(ticket.who, Operator)
            before = await self._guard.session(request, operator=operator)
            if before is not None and not changes and tenant_of(before.who) != tenant_of(ticket.who):
                await self._guard.tenant(request)  # whose page this is
                return self._view.render(request, "enter.html", ticket=given, now=before.who, then=ticket.who)
            token = new_token()
            session = await self._sessions.begin(digest_of(token), ticket)
            if session is None and before is not None and before.who == ticket.who:
                return see(_first_page(ticket))  # loaded anew, or fetched by the browser before it was asked to
            if session is None:
                raise Refused("ticket_used")
        except Refused as error:
            self._metrics.refused.labels(error.code.removeprefix("ticket_")).inc()
            raise
        if before is not None:
            await self._sessions.end(before.id)
        self._metrics.entered.labels("operator" if operator else "tenant").inc()
        log.info("ui_session_began", session=str(session.id), operator=operator)
        return self._guard.sign_in(see(_first_page(ticket)), token, operator=operator)

    async def leave_tenant(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        await self._guard.form(request, visitor)
        await self._sessions.end(visitor.session_id)
        return self._guard.sign_out(see("/ui/left"), operator=False)

    async def leave_operator(self, request: Request) -> Response:
        visitor = await self._guard.operator(request)
        await self._guard.form(request, visitor)
        await self._sessions.end(visitor.session_id)
        return self._guard.sign_out(see("/ui/left"), operator=True)

    async def left(self, request: Request) -> Response:
        return self._view.render(request, "left.html")


def _first_page(ticket: Ticket) -> str:
    if isinstance(ticket.who, Operator):
        return "/ui/operator/"
    return "/ui/" if ticket.domain is None else f"/ui/domains/{ticket.domain}"
