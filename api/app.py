"""The tenants' API as one ASGI application. It owns nothing: who made its collaborators also closes them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api.auth import Authenticator
from api.domains import DomainsResource
from api.exchange import Exchange, RequestMetrics
from api.health import Health
from api.instructions import Target
from api.openapi import Document
from api.operations import OPERATIONS, PREFIXES
from api.problems import exception_handlers, problem_routes
from api.routing import Handler, read_only, route
from api.service import Domains
from core.hostname import HostnameRules


def create_app(
    domains: Domains,
    authenticator: Authenticator,
    rules: HostnameRules,
    target: Target,
    registry: CollectorRegistry,
) -> ASGIApp:
    """`target`: what tenants' DNS records are to point to. `registry`: shown at /metrics; gets the API's figures."""
    health = Health(domains, registry)
    app = Starlette(
        routes=[
            *domain_routes(DomainsResource(domains, authenticator, rules, target)),
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


def domain_routes(resource: DomainsResource) -> list[BaseRoute]:
    """A route for each path of the table of operations, below each prefix."""
    handlers: dict[str, Handler] = {
        "addDomain": resource.add,
        "listDomains": resource.list,
        "getDomain": resource.show,
        "deleteDomain": resource.delete,
        "verifyDomain": resource.verify,
        "verifyDomainByGet": resource.verify,
    }
    paths: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method] = handlers[operation.name]
        if operation.head:
            methods["HEAD"] = handlers[operation.name]
    return [route(prefix + path, methods) for prefix in PREFIXES for path, methods in paths.items()]
