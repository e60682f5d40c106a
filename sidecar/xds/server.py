"""The secret services as grpc.aio handlers. Sockets, health and the order of shutting down are sidecar.app's."""

from __future__ import annotations

from typing import Any, Final

import grpc

from sidecar.xds.service import SecretService

SECRETS: Final = "envoy.service.secret.v3.SecretDiscoveryService"
AGGREGATED: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"

# For the server that these handlers are added to.
OPTIONS: Final = (
    # An Envoy that reconnects sends all its names and versions in one message: 433 KB for 5,000 names were seen.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A peer that vanished without a word is noticed in half a minute; a stream that is merely quiet stays.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


def handlers(service: SecretService) -> list[grpc.GenericRpcHandler[Any, Any]]:
    """For `server.add_generic_rpc_handlers`. Without (de)serializers the messages stay bytes."""
    delta = grpc.stream_stream_rpc_method_handler(service.delta)
    state_of_the_world = grpc.stream_stream_rpc_method_handler(service.state_of_the_world)
    return [
        grpc.method_handlers_generic_handler(
            SECRETS,
            {
                "DeltaSecrets": delta,
                "StreamSecrets": state_of_the_world,
                "FetchSecrets": grpc.unary_unary_rpc_method_handler(service.fetch),
            },
        ),
        grpc.method_handlers_generic_handler(
            AGGREGATED,
            {"DeltaAggregatedResources": delta, "StreamAggregatedResources": state_of_the_world},
        ),
    ]
