"""The discovery services as methods of sidecar.grpcfast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from sidecar.grpcfast import Method, Streaming, Unary
from sidecar.xds.service import DiscoveryService
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

SECRETS: Final = "envoy.service.secret.v3.SecretDiscoveryService"
AGGREGATED: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
LISTENERS: Final = "envoy.service.listener.v3.ListenerDiscoveryService"
ROUTES: Final = "envoy.service.route.v3.RouteDiscoveryService"
CLUSTERS: Final = "envoy.service.cluster.v3.ClusterDiscoveryService"
ENDPOINTS: Final = "envoy.service.endpoint.v3.EndpointDiscoveryService"

# Of one type each: the service, what its methods end in, the type.
SINGLE: Final = (
    (LISTENERS, "Listeners", LISTENER),
    (ROUTES, "Routes", ROUTE),
    (CLUSTERS, "Clusters", CLUSTER),
    (ENDPOINTS, "Endpoints", ENDPOINT),
    (SECRETS, "Secrets", SECRET),
)
SERVICES: Final = (AGGREGATED, *(service for service, _, _ in SINGLE))

# Bytes. An Envoy that reconnects sends all its names and versions in one message: 433 KB for 5,000 names were seen.
MAX_MESSAGE: Final = 64 * 1024 * 1024


def methods(service: DiscoveryService) -> Mapping[str, Method]:
    """By path."""
    found: dict[str, Method] = {
        f"/{AGGREGATED}/DeltaAggregatedResources": Streaming(service.delta, MAX_MESSAGE),
        f"/{AGGREGATED}/StreamAggregatedResources": Streaming(service.state_of_the_world, MAX_MESSAGE),
    }
    for name, plural, type_url in SINGLE:
        found[f"/{name}/Delta{plural}"] = Streaming(partial(service.delta, only=type_url), MAX_MESSAGE)
        found[f"/{name}/Stream{plural}"] = Streaming(partial(service.state_of_the_world, only=type_url), MAX_MESSAGE)
        found[f"/{name}/Fetch{plural}"] = Unary(partial(service.fetch, only=type_url))
    return found
