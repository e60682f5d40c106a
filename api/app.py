"""The tenants' API as one ASGI application. It owns nothing: who made its collaborators also closes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api.auth import Authenticator
from api.caller import Callers
from api.diagnosis import DiagnosisResource
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
from api.problems import exception_handlers, problem_routes
from api.quota import QuotaResource
from api.routing import Handler, read_only, route
from api.service import Diagnostician, Domains
from core.hostname import HostnameRules


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
    now: Callable[[], datetime] = now,
) -> ASGIApp:
    """`target`: what tenants' DNS records are to point to. `registry`: shown at /metrics; gets the API's figures.

    `diagnostician`, `endpoints`: None where diagnoses or notifications are not offered.
    """
    callers, names = Callers(authenticator), Names(rules, target)
    resource = DomainsResource(domains, callers, names, target, now)
    notifications = NotificationsResource(endpoints, callers)
    handlers: dict[str, Handler] = {
        "addDomain": resource.add,
        "importDomains": ImportsResource(domains, callers, names, target).add,
        "listDomains": resource.list,
        "getDomain": resource.show,
        "deleteDomain": resource.delete,
        "verifyDomain": resource.verify,
        "verifyDomainByGet": resource.verify,
        "resumeDomain": resource.resume,
        "renewDomain": resource.renew,
        "diagnoseDomain": DiagnosisResource(domains, callers, diagnostician, now).show,
        "auditDomain": HistoryResource(domains, callers).show,
        "getQuota": QuotaResource(domains, callers).show,
        "addEndpoint": notifications.add,
        "listEndpoints": notifications.list,
        "getEndpoint": notifications.show,
        "deleteEndpoint": notifications.delete,
        "rotateEndpointSecret": notifications.rotate,
        "testEndpoint": notifications.test,
        "listDeliveries": notifications.deliveries,
        "retryDelivery": notifications.retry,
    }
    health = Health(domains, registry)
    app = Starlette(
        routes=[
            *tenant_routes(handlers),
            read_only("/openapi.json", Document().show),
            read_only("/livez", health.livez),
            read_only("/readyz", health.readyz),
            read_only("/metrics", health.metrics),
            *problem_routes(),
        ],
        exception_handlers=exception_handlers(),
    )
    # A path with a slash too many is another path: not found, rather than redirected with its token and body.
    app.router.redirect_slashes = False
    return Exchange(app, RequestMetrics(registry))


def tenant_routes(handlers: Mapping[str, Handler]) -> list[BaseRoute]:
    """A route for each path of the table of operations, below each prefix. `handlers`: by the operation's name."""
    paths: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method] = handlers[operation.name]
        if operation.head:
            methods["HEAD"] = handlers[operation.name]
    return [route(prefix + path, methods) for prefix in PREFIXES for path, methods in paths.items()]
