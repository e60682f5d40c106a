"""The secret services as methods of sidecar.grpcfast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.grpcfast import Method, Streaming, Unary
from sidecar.xds.service import SecretService

SECRETS: Final = "envoy.service.secret.v3.SecretDiscoveryService"
AGGREGATED: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"

# Bytes. An Envoy that reconnects sends all its names and versions in one message: 433 KB for 5,000 names were seen.
MAX_MESSAGE: Final = 64 * 1024 * 1024


def methods(service: SecretService) -> Mapping[str, Method]:
    """By path."""
    delta = Streaming(service.delta, MAX_MESSAGE)
    state_of_the_world = Streaming(service.state_of_the_world, MAX_MESSAGE)
    return {
        f"/{SECRETS}/DeltaSecrets": delta,
        f"/{SECRETS}/StreamSecrets": state_of_the_world,
        f"/{SECRETS}/FetchSecrets": Unary(service.fetch),
        f"/{AGGREGATED}/DeltaAggregatedResources": delta,
        f"/{AGGREGATED}/StreamAggregatedResources": state_of_the_world,
    }
