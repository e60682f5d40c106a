"""The pages as routes: which page is at which path, each behind the guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from api.admin.upstreams import Upstreams
from api.client_auth import ClientAuths
from api.diagnosis import Diagnoses
from api.instructions import Target
from api.names import Names
from api.overview.overview import Overview
from api.propagation import Witness
from api.routing import Handler, Methods
from api.service import Domains
from api.ui.brand import Brand
from api.ui.changes import Changes
from api.ui.files import Files
from api.ui.guard import Guard, see
from api.ui.links import Links
from api.ui.pages.actions import ActionsPages
from api.ui.pages.client_auth import ClientAuthPages
from api.ui.pages.diagnosis import DiagnosisPages
from api.ui.pages.domain import DomainPages
from api.ui.pages.domains import DomainsPages
from api.ui.pages.entrance import Entrance, EntranceMetrics
from api.ui.pages.events import EventsPages
from api.ui.pages.operator import OperatorPages
from api.ui.pages.uploads import UploadsPages
from api.ui.sessions import Sessions
from api.ui.view import View
from api.uploads import Uploads

Table = Mapping[str, Mapping[str, Handler]]  # path → method → handler; GET answers HEAD too


@dataclass(frozen=True, slots=True)
class Ui:
    """What only the pages need. `origin`: where browsers reach them, as https://domains.example.com."""

    origin: str
    brand: Brand
    sessions: Sessions
    links: Links
    changes: Changes


@dataclass(frozen=True, slots=True)
class Behind:
    """What the pages ask and tell, as the REST API does. None where it is not offered."""

    domains: Domains
    names: Names
    target: Target
    witness: Witness
    now: Callable[[], datetime]
    registry: CollectorRegistry
    diagnoses: Diagnoses
    uploads: Uploads | None = None
    client_auths: ClientAuths | None = None
    upstreams: Upstreams | None = None
    overview: Overview | None = None


class Page:
    """An ASGI application of one path, whose refusals are pages too."""

    def __init__(self, guard: Guard, handlers: Mapping[str, Handler]) -> None:
        if "GET" in handlers:
            handlers = {**handlers, "HEAD": handlers["GET"]}
        self._methods = Methods({method: guard.page(handler) for method, handler in handlers.items()})
        self._refuse = guard.page(_refuse(self._methods.allow))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._methods(scope, receive, send)
        except HTTPException:
            response = await self._refuse(Request(scope, receive, send))
            await response(scope, receive, send)


def ui_routes(ui: Ui, behind: Behind) -> list[BaseRoute]:
    files = Files(ui.brand)
    view = View(ui.brand, files, behind.now)
    guard = Guard(ui.sessions, view, ui.origin)
    tables: list[Table] = [
        Entrance(guard, view, ui.sessions, ui.links, EntranceMetrics(behind.registry)).table(),
        DomainsPages(guard, view, behind.domains, behind.names).table(),
        *domain_tables(guard, view, ui, behind),
        OperatorPages(guard, view, behind.overview).table(),
        {"/": {"GET": _to_the_list}, "/ui": {"GET": _to_the_list}},
        {"/ui/static/{digest}/{name}": {"GET": files.show}},
    ]
    pages = [Route(path, Page(guard, handlers)) for table in tables for path, handlers in table.items()]
    return [*pages, Route("/ui/{rest:path}", Page(guard, {"GET": _nothing_here, "POST": _nothing_here}))]


def domain_tables(guard: Guard, view: View, ui: Ui, behind: Behind) -> list[Table]:
    """A domain's own pages."""
    domains = behind.domains
    page = DomainPages(guard, view, domains, behind.names, behind.target, behind.witness, behind.now)
    return [
        page.table(),
        ActionsPages(guard, view, domains, page).table(),
        EventsPages(guard, view, page, ui.sessions, ui.changes, behind.now).table(),
        UploadsPages(guard, view, domains, behind.uploads, behind.now).table(),
        ClientAuthPages(guard, view, domains, behind.client_auths).table(),
        DiagnosisPages(guard, view, domains, behind.diagnoses, behind.now).table(),
    ]


async def _to_the_list(_request: Request) -> Response:
    return see("/ui/")


async def _nothing_here(_request: Request) -> Response:
    raise HTTPException(404)


def _refuse(allow: str) -> Handler:
    async def refuse(_request: Request) -> Response:
        raise HTTPException(405, headers={"Allow": allow})

    return refuse
