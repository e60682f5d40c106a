"""The two route configurations: where a request goes is what the check says, in a header that the route takes off."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from core.service import Service
from sidecar.edge.model import cluster_of
from sidecar.xds.resources.connection_manager import HTTP, HTTPS
from sidecar.xds.resources.extension import matching, milliseconds, on_match
from sidecar.xds.resources.filters import CERTIFICATE_HEADER, CLUSTER_HEADER, EXT_AUTHZ
from sidecar.xds.resources.messages import ext_authz, matcher, pack, route, string

EVERY_DOMAIN: Final = "every-domain"
LISTENER_EXTENSION: Final = "nameplate.listener"  # sidecar.authz.check
NO_TIMEOUT: Final = timedelta(0)  # streams may last; one that is silent for stream_idle_timeout ends


def https(services: Iterable[Service]) -> route.RouteConfiguration:
    """`services`: those that a request may be routed to; those with a timeout have a route of their own."""
    timeouts = {
        cluster_of(service.name): _to_upstream(milliseconds(service.request_timeout_ms))
        for service in sorted(services, key=lambda service: service.name)
        if service.request_timeout_ms
    }
    host = route.VirtualHost(name=EVERY_DOMAIN, domains=["*"])
    if timeouts:
        host.matcher = matcher.Matcher(
            matcher_tree=matcher.MatcherMatcherTree(
                input=matching("cluster", string.HttpRequestHeaderMatchInput(header_name=CLUSTER_HEADER)),
                exact_match_map=matcher.MatcherMatcherTreeMatchMap(
                    map={cluster: on_match(cluster, own) for cluster, own in timeouts.items()}
                ),
            ),
            on_no_match=on_match("any", _to_upstream(NO_TIMEOUT)),
        )
    else:
        host.routes = [_to_upstream(NO_TIMEOUT)]
    return route.RouteConfiguration(name=HTTPS, virtual_hosts=[host])


def http() -> route.RouteConfiguration:
    """The sidecar answers every request of this listener; there is no way to an upstream."""
    settings = ext_authz.CheckSettings(context_extensions={LISTENER_EXTENSION: HTTP})
    return route.RouteConfiguration(
        name=HTTP,
        virtual_hosts=[
            route.VirtualHost(
                name=EVERY_DOMAIN,
                domains=["*"],
                typed_per_filter_config={EXT_AUTHZ: pack(ext_authz.ExtAuthzPerRoute(check_settings=settings))},
                routes=[
                    route.Route(
                        match=route.RouteMatch(prefix="/"),
                        direct_response=route.DirectResponseAction(status=503),
                    )
                ],
            )
        ],
    )


def _to_upstream(timeout: timedelta) -> route.Route:
    # A cluster that there is not: 503, in the words of sidecar.xds.resources.replies.
    return route.Route(
        match=route.RouteMatch(prefix="/"),
        route=route.RouteAction(cluster_header=CLUSTER_HEADER, timeout=timeout),
        request_headers_to_remove=[CLUSTER_HEADER, CERTIFICATE_HEADER],
    )
