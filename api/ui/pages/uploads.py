"""A domain's certificate: its facts, uploading one's own, and taking it back. The key is never shown again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.caller import domain_id
from api.problems import Problem
from api.routing import Handler
from api.service import Domains
from api.ui.guard import Guard, beside, see
from api.ui.pem import pem, shown
from api.ui.possible import possible, renews
from api.ui.sessions import Visitor
from api.ui.view import View
from api.uploads import Uploads
from core.errors import NameplateError

# The member of the REST API's body that a refusal points to → the field of the form.
FIELDS = {"/certificate": "certificate", "/privateKey": "key"}


class UploadsPages:
    """`uploads`: None where they are not offered; the certificate's facts are shown all the same."""

    def __init__(
        self, guard: Guard, view: View, domains: Domains, uploads: Uploads | None, now: Callable[[], datetime]
    ) -> None:
        self._guard = guard
        self._view = view
        self._domains = domains
        self._offered = uploads
        self._now = now

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        path = "/ui/domains/{id}/certificate"
        return {
            path: {"GET": self.show, "POST": self.upload},
            path + "/withdraw": {"GET": self.show, "POST": self.withdraw},
        }

    async def show(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        return await self._page(request, visitor)

    async def upload(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        form = await self._guard.form(request, visitor)
        chain, key = await pem(form, "certificate"), await pem(form, "key")
        await form.close()
        try:
            uploads = self._uploads
            if not chain.strip():
                raise Problem("chain_unreadable", "Paste the certificate, or choose its file.", pointer="/certificate")
            if not key.strip():
                raise Problem("key_not_readable", "Paste the private key, or choose its file.", pointer="/privateKey")
            await uploads.put(visitor.principal, domain_id(request), chain, key)
        except NameplateError as error:
            return await self._page(request, visitor, problem=beside(error), chain=chain)
        return see(f"/ui/domains/{domain_id(request)}?notice=uploaded")

    async def withdraw(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        await self._guard.form(request, visitor)
        await self._uploads.delete(visitor.principal, domain_id(request))
        return see(f"/ui/domains/{domain_id(request)}?notice=upload_withdrawn")

    @property
    def _uploads(self) -> Uploads:
        if self._offered is None:
            raise Problem("uploads_unavailable")
        return self._offered

    async def _page(
        self, request: Request, visitor: Visitor, *, problem: Problem | None = None, chain: str = ""
    ) -> Response:
        """`chain`: what was given; its certificates are shown again, which are public."""
        domain = await self._domains.find(visitor.principal, domain_id(request))
        found = None
        if self._offered is not None:
            found = await self._offered.find(visitor.principal, domain.id)
        return self._view.render(
            request,
            "domain_certificate.html",
            problem=problem,
            domain=domain,
            found=found,
            offered=self._offered is not None,
            possible=possible(domain),
            renews=renews(domain, self._now()),
            field=None if problem is None else FIELDS.get(str(problem.members.get("pointer")), ""),
            chain=shown(chain, "CERTIFICATE"),
            tab="certificate",
        )
