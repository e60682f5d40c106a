"""What a domain asks of its clients' certificates: whether, whose, and which are revoked."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from api.caller import domain_id
from api.client_auth import MODES, ClientAuth, ClientAuths, NoClientAuth, Settings
from api.problems import Problem
from api.routing import Handler
from api.service import Domains
from api.ui.guard import Guard, beside, see, text
from api.ui.pem import pem, shown
from api.ui.sessions import Visitor
from api.ui.view import View
from core.client_identity import KINDS
from core.errors import NameplateError

CONSUMERS = 10  # of the tenant's, on the page

# The member that a refusal points to → the field of the form.
FIELDS = {
    "/mode": "mode",
    "/caCertificates": "ca",
    "/crl": "crl",
    "/identifyBy": "identify",
    "/groupsFrom": "groups",
}


class ClientAuthPages:
    """`client_auths`: None where they are not offered."""

    def __init__(self, guard: Guard, view: View, domains: Domains, client_auths: ClientAuths | None) -> None:
        self._guard = guard
        self._view = view
        self._domains = domains
        self._offered = client_auths

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        path = "/ui/domains/{id}/client-auth"
        return {
            path: {"GET": self.show, "POST": self.save},
            path + "/remove": {"GET": self.show, "POST": self.remove},
        }

    async def show(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        return await self._page(request, visitor, await self._present(visitor, request))

    async def save(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        form = await self._guard.form(request, visitor)
        typed = {"ca": await pem(form, "ca"), "crl": await pem(form, "crl")}
        await form.close()
        present = await self._present(visitor, request)
        try:
            await self._client_auths.put(visitor.principal, domain_id(request), settings_of(form, typed))
        except NameplateError as error:
            return await self._page(request, visitor, present, problem=beside(error), form=form, typed=typed)
        return see(f"/ui/domains/{domain_id(request)}/client-auth?notice=client_auth_saved")

    async def remove(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        await self._guard.form(request, visitor)
        await self._client_auths.delete(visitor.principal, domain_id(request))
        return see(f"/ui/domains/{domain_id(request)}/client-auth?notice=client_auth_removed")

    @property
    def _client_auths(self) -> ClientAuths:
        if self._offered is None:
            raise Problem("client_auth_unavailable")
        return self._offered

    async def _present(self, visitor: Visitor, request: Request) -> ClientAuth | None:
        try:
            return await self._client_auths.find(visitor.principal, domain_id(request))
        except NoClientAuth:
            return None

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        present: ClientAuth | None,
        *,
        problem: Problem | None = None,
        form: FormData | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        domain = await self._domains.find(visitor.principal, domain_id(request))
        consumers = await self._client_auths.consumers(visitor.principal, None, CONSUMERS + 1)
        return self._view.render(
            request,
            "domain_client_auth.html",
            problem=problem,
            domain=domain,
            present=present,
            consumers=consumers[:CONSUMERS],
            more_consumers=len(consumers) > CONSUMERS,
            shown=fields_of(present) if form is None or typed is None else refilled(form, typed),
            field=None if problem is None else FIELDS.get(str(problem.members.get("pointer")), ""),
            tab="clients",
        )


def settings_of(form: FormData, typed: Mapping[str, str]) -> Settings:
    """Raises Problem."""
    mode = text(form, "mode")
    if mode not in MODES:
        raise Problem("mode_unknown", "Choose whether every client must show a certificate.", pointer="/mode")
    if not typed["ca"].strip():
        raise Problem(
            "ca_unreadable", "Paste the authorities’ certificates, or choose their file.", pointer="/caCertificates"
        )
    by = tuple(kind for kind in KINDS if text(form, f"by_{kind}"))
    if not by:
        raise Problem("identify_by_invalid", "Choose at least one.", pointer="/identifyBy")
    return Settings(
        mode=mode,
        ca_pem=typed["ca"],
        crl_pem=typed["crl"] if typed["crl"].strip() else None,
        lookup=text(form, "lookup") == "consumers",
        identify_by=by,
        groups_from=text(form, "groups").strip() or None,
    )


def fields_of(present: ClientAuth | None) -> Mapping[str, object]:
    """What stands in the form at first."""
    if present is None:
        return {"mode": "required", "ca": "", "crl": "", "lookup": "all", "by": KINDS, "groups": ""}
    now = present.settings
    return {
        "mode": now.mode,
        "ca": now.ca_pem,
        "crl": now.crl_pem or "",
        "lookup": "consumers" if now.lookup else "all",
        "by": now.identify_by,
        "groups": now.groups_from or "",
    }


def refilled(form: FormData, typed: Mapping[str, str]) -> Mapping[str, object]:
    """What was given, after a refusal; a private key that was pasted by mistake is not shown again."""
    return {
        "mode": text(form, "mode"),
        "ca": shown(typed["ca"], "CERTIFICATE"),
        "crl": shown(typed["crl"], "X509 CRL"),
        "lookup": text(form, "lookup"),
        "by": [kind for kind in KINDS if text(form, f"by_{kind}")],
        "groups": text(form, "groups"),
    }
