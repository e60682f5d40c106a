"""The tenants' API as one ASGI application. It owns nothing: who made its collaborators also closes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api.admin.choices import ChoicesResource
from api.admin.identities import IdentitiesResource
from api.admin.requests import Admin
from api.admin.services import ServicesResource
from api.admin.trust import TrustResource
from api.admin.upstreams import Upstreams
from api.auth import Authenticator
from api.caller import Callers
from api.certificates import CertificatesResource
from api.client_auth import ClientAuths
from api.client_auth_resource import ClientAuthResource
from api.diagnosis import Diagnoses, DiagnosisResource
from api.domains import DomainsResource
from api.endpoints import Endpoints
from api.exchange import Exchange, RequestMetrics
from api.health import Health
from api.history import HistoryResource
from api.imports import ImportsResource
from api.instructions import Target
from api.names import Names
from api.notifications import NotificationsResource
from api.openapi import Document
from api.operations import OPERATIONS, PREFIXES
from api.overview.overview import Overview
from api.overview.view import OverviewResource
from api.portal import PortalResource
from api.problems import exception_handlers, problem_routes
from api.propagation import NOBODY, PropagationResource, Witness
from api.quota import QuotaResource
from api.routing import Handler, read_only, route
from api.service import Diagnostician, Domains
from api.ui.app import Behind, Ui, ui_routes
from api.uploads import Uploads
from core.hostname import HostnameRules
from core.trace import NOTHING, Tracer


def now() -> datetime:
    return datetime.now(UTC)


def create_app(
    domains: Domains,
    authenticator: Authenticator,
    rules: HostnameRules,
    target: Target,
    registry: CollectorRegistry,
    *,
    diagnostician: Diagnostician | None = None,
    endpoints: Endpoints | None = None,
    uploads: Uploads | None = None,
    client_auths: ClientAuths | None = None,
    witness: Witness = NOBODY,
    upstreams: Upstreams | None = None,
    overview: Overview | None = None,
    ui: Ui | None = None,
    tracer: Tracer = NOTHING,
    now: Callable[[], datetime] = now,
) -> ASGIApp:
    """`target`: what tenants' DNS records are to point to. `registry`: shown at /metrics; gets the API's figures.

    `diagnostician`, `endpoints`, `uploads`, `client_auths`, `upstreams`, `overview`, `ui`: None where they are
    not offered.
    """
    callers, names = Callers(authenticator), Names(rules, target)
    resource = DomainsResource(domains, callers, names, target, now)
    notifications = NotificationsResource(endpoints, callers)
    certificates = CertificatesResource(uploads, callers, now)
    clients = ClientAuthResource(client_auths, callers)
    diagnoses = Diagnoses(domains, diagnostician)
    portal = PortalResource(domains, callers, ui)
    handlers: dict[str, Handler] = {
        "addDomain": resource.add,
        "importDomains": ImportsResource(domains, callers, names, target).add,
        "listDomains": resource.list,
        "getDomain": resource.show,
        "deleteDomain": resource.delete,
        "verifyDomain": resource.verify,
        "verifyDomainByGet": resource.verify,
        "pauseDomain": resource.pause,
        "resumeDomain": resource.resume,
        "renewDomain": resource.renew,
        "diagnoseDomain": DiagnosisResource(diagnoses, callers, now).show,
        "auditDomain": HistoryResource(domains, callers).show,
        "getPropagation": PropagationResource(domains, callers, witness).show,
        "putCertificate": certificates.put,
        "getCertificate": certificates.show,
        "deleteCertificate": certificates.delete,
        "putClientAuth": clients.put,
        "getClientAuth": clients.show,
        "deleteClientAuth": clients.delete,
        "addConsumer": clients.add_consumer,
        "listConsumers": clients.list_consumers,
        "getConsumer": clients.show_consumer,
        "replaceConsumer": clients.replace_consumer,
        "deleteConsumer": clients.delete_consumer,
        "getQuota": QuotaResource(domains, callers).show,
        "addEndpoint": notifications.add,
        "listEndpoints": notifications.list,
        "getEndpoint": notifications.show,
        "deleteEndpoint": notifications.delete,
        "rotateEndpointSecret": notifications.rotate,
        "testEndpoint": notifications.test,
        "listDeliveries": notifications.deliveries,
        "retryDelivery": notifications.retry,
        "openPortal": portal.open,
        "openOperatorPortal": portal.open_operator,
        "endPortal": portal.end,
        "endOperatorPortal": portal.end_operator,
    }
    handlers |= admin_handlers(Admin(upstreams, callers), now)
    handlers |= view_handlers(OverviewResource(overview, callers))
    behind = Behind(
        domains, names, target, witness, now, registry, diagnoses, uploads, client_auths, upstreams, overview
    )
    pages = [] if ui is None else ui_routes(ui, behind)
    health = Health(domains, registry)
    app = Starlette(
        routes=[
            *tenant_routes(handlers),
            read_only("/openapi.json", Document().show),
            read_only("/livez", health.livez),
            read_only("/readyz", health.readyz),
            read_only("/metrics", health.metrics),
            *problem_routes(),
            *pages,
        ],
        exception_handlers=exception_handlers(),
    )
    # A path with a slash too many is another path: not found, rather than redirected with its token and body.
    app.router.redirect_slashes = False
    return Exchange(app, RequestMetrics(registry), tracer)


def admin_handlers(admin: Admin, now: Callable[[], datetime]) -> Mapping[str, Handler]:
    """What the platform's own admin does, by the operation's name."""
    services, trust = ServicesResource(admin), TrustResource(admin, now)
    identities, choices = IdentitiesResource(admin, now), ChoicesResource(admin)
    return {
        "listServices": services.list,
        "getService": services.show,
        "putService": services.put,
        "deleteService": services.delete,
        "listTrust": trust.list,
        "getTrust": trust.show,
        "putTrust": trust.put,
        "deleteTrust": trust.delete,
        "listIdentities": identities.list,
        "getIdentity": identities.show,
        "putIdentity": identities.put,
        "deleteIdentity": identities.delete,
        "getTenantService": choices.show_tenant,
        "putTenantService": choices.put_tenant,
        "deleteTenantService": choices.delete_tenant,
        "getDomainService": choices.show_domain,
        "putDomainService": choices.put_domain,
        "deleteDomainService": choices.delete_domain,
    }


def view_handlers(view: OverviewResource) -> Mapping[str, Handler]:
    """What the platform's operators look at, by the operation's name."""
    return {
        "showOverview": view.show,
        "listSidecars": view.sidecars,
        "searchDomains": view.domains,
        "getAdminDomain": view.domain,
        "listLimits": view.limits,
        "listCas": view.cas,
        "listAllDeliveries": view.deliveries,
        "retryAnyDelivery": view.retry,
        "searchAudit": view.audit,
        "explainHost": view.explain,
    }


def tenant_routes(handlers: Mapping[str, Handler]) -> list[BaseRoute]:
    """A route for each path of the table of operations, below each prefix. `handlers`: by the operation's name."""
    paths: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method] = handlers[operation.name]
        if operation.head:
            methods["HEAD"] = handlers[operation.name]
    return [route(prefix + path, methods) for prefix in PREFIXES for path, methods in paths.items()]
