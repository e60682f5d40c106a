"""What is done about a domain by a button: verify, pause, resume, renew, delete. Each ends on the domain's page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.auth import Principal
from api.caller import domain_id
from api.routing import Handler
from api.service import Domains, DomainsError
from api.ui.guard import Guard, beside, see, text
from api.ui.pages.domain import DomainPages
from api.ui.view import View


class ActionsPages:
    def __init__(self, guard: Guard, view: View, domains: Domains, pages: DomainPages) -> None:
        self._guard = guard
        self._pages = pages
        self._view = view
        self._domains = domains

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        """A button that was refused leaves its address in the browser, where the domain's page is found as well."""
        below, page = "/ui/domains/{id}/", self._pages.show
        return {
            below + "verify": {"GET": page, "POST": self.verify},
            below + "pause": {"GET": page, "POST": self.pause},
            below + "resume": {"GET": page, "POST": self.resume},
            below + "renew": {"GET": page, "POST": self.renew},
            below + "delete": {"GET": self.ask, "POST": self.delete},
        }

    async def verify(self, request: Request) -> Response:
        async def work(caller: Principal, wanted: UUID) -> str:
            return "checking" if (await self._domains.verify(caller, wanted)).requested else "nothing_to_do"

        return await self._done(request, work)

    async def pause(self, request: Request) -> Response:
        async def work(caller: Principal, wanted: UUID) -> str:
            await self._domains.pause(caller, wanted)
            return "paused"

        return await self._done(request, work)

    async def resume(self, request: Request) -> Response:
        async def work(caller: Principal, wanted: UUID) -> str:
            await self._domains.resume(caller, wanted)
            return "resumed"

        return await self._done(request, work)

    async def renew(self, request: Request) -> Response:
        async def work(caller: Principal, wanted: UUID) -> str:
            return "renewing" if (await self._domains.renew(caller, wanted)).requested else "nothing_to_do"

        return await self._done(request, work)

    async def ask(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        domain = await self._domains.find(visitor.principal, domain_id(request))
        return self._view.render(request, "domain_delete.html", domain=domain, typed="", wrong=False)

    async def delete(self, request: Request) -> Response:
        """The hostname is typed by whoever means it; the page works without a dialog of a script's."""
        visitor = await self._guard.tenant(request)
        form = await self._guard.form(request, visitor)
        domain = await self._domains.find(visitor.principal, domain_id(request))
        typed = text(form, "hostname").strip().lower().rstrip(".")
        if typed != domain.hostname:
            return self._view.render(request, "domain_delete.html", 422, domain=domain, typed=typed[:300], wrong=True)
        await self._domains.delete(visitor.principal, domain.id)
        return see("/ui/?notice=deleted")

    async def _done(self, request: Request, work: Callable[[Principal, UUID], Awaitable[str]]) -> Response:
        """`work` gives the notice's code. What it refuses is said on the domain's page, where it was asked for."""
        visitor = await self._guard.tenant(request)
        await self._guard.form(request, visitor)
        wanted = domain_id(request)
        try:
            notice = await work(visitor.principal, wanted)
        except DomainsError as error:
            return await self._pages.page(request, visitor, wanted, beside(error))
        return see(f"/ui/domains/{wanted}?notice={notice}")
