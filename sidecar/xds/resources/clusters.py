"""A service as Envoy's cluster `service/<name>`."""

from __future__ import annotations

from typing import Final

from core.service import HealthCheck, Service
from sidecar.edge.model import cluster_of
from sidecar.xds.resources.extension import extension, milliseconds
from sidecar.xds.resources.messages import cares, cluster, core, dns, dns_cluster, endpoint, pack, types, upstream_http
from sidecar.xds.resources.upstream_tls import transport_socket

OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# A cluster is held back, and with it an Envoy that starts, until its names were looked up: 4 s at most, for a name
# server that says nothing. The defaults are 5 s, four times.
DNS_TRY: Final = 2
DNS_TRIES: Final = 2


def build(service: Service, trust: str | None = None, identity: str | None = None) -> cluster.Cluster:
    """`trust`, `identity`: as sidecar.xds.resources.upstream_tls resolves them, of a service with TLS."""
    name = cluster_of(service.name)
    built = cluster.Cluster(
        name=name,
        connect_timeout=milliseconds(service.connect_timeout_ms),
        circuit_breakers=_circuit_breakers(service),
        load_assignment=endpoint.ClusterLoadAssignment(
            cluster_name=name, endpoints=[endpoint.LocalityLbEndpoints(lb_endpoints=_endpoints(service))]
        ),
        typed_extension_protocol_options={OPTIONS: pack(_protocol(service))},
    )
    if service.health_check is not None:
        built.health_checks = [_health_check(service, service.health_check)]
    if service.is_static:
        built.type = cluster.ClusterDiscoveryType.STATIC
    else:
        built.cluster_type = _names()
        # A host that left the zone is not one that fails its check.
        built.ignore_health_on_host_removal = True
    if service.tls is not None and trust is not None:
        built.transport_socket = transport_socket(service, service.tls, trust, identity)
    return built


def _names() -> cluster.ClusterCustomClusterType:
    """Every address of every name is an upstream of its own."""
    resolver = cares.CaresDnsResolverConfig(query_timeout_seconds=DNS_TRY, query_tries=DNS_TRIES)
    config = dns_cluster.DnsCluster(
        # An edge without IPv6 must not be sent there.
        dns_lookup_family=dns.DnsLookupFamily.V4_PREFERRED,
        respect_dns_ttl=True,
        typed_dns_resolver_config=extension("envoy.network.dns_resolver.cares", resolver),
    )
    return cluster.ClusterCustomClusterType(name="envoy.clusters.dns", typed_config=pack(config))


def _endpoints(service: Service) -> list[endpoint.LbEndpoint]:
    return [
        endpoint.LbEndpoint(
            endpoint=endpoint.Endpoint(
                address=core.Address(socket_address=core.SocketAddress(address=address.host, port_value=address.port))
            )
        )
        for address in service.addresses
    ]


def _circuit_breakers(service: Service) -> cluster.CircuitBreakers:
    breaker = service.circuit_breaker
    return cluster.CircuitBreakers(
        thresholds=[
            cluster.CircuitBreakersThresholds(
                max_connections=breaker.max_connections,
                max_pending_requests=breaker.max_pending,
                max_requests=breaker.max_requests,
                max_retries=breaker.max_retries,
            )
        ]
    )


def _protocol(service: Service) -> upstream_http.HttpProtocolOptions:
    explicit = upstream_http.HttpProtocolOptionsExplicitHttpConfig()
    if service.protocol == "http2":
        explicit.http2_protocol_options = core.Http2ProtocolOptions()
    else:
        explicit.http_protocol_options = core.Http1ProtocolOptions()
    return upstream_http.HttpProtocolOptions(
        explicit_http_config=explicit,
        common_http_protocol_options=core.HttpProtocolOptions(
            idle_timeout=milliseconds(service.idle_timeout_ms),
            # A connection in the pool keeps the certificates that it was made with.
            max_connection_duration=milliseconds(service.max_connection_duration_ms),
        ),
    )


def _health_check(service: Service, check: HealthCheck) -> core.HealthCheck:
    host = service.tls.sni if service.tls is not None and service.tls.sni else service.addresses[0].host
    return core.HealthCheck(
        interval=milliseconds(check.interval_ms),
        # Envoy asks once a minute as long as nobody uses the cluster, and would take as long to notice it is up.
        no_traffic_interval=milliseconds(check.interval_ms),
        timeout=milliseconds(check.timeout_ms),
        unhealthy_threshold=check.unhealthy,
        healthy_threshold=check.healthy,
        http_health_check=core.HealthCheckHttpHealthCheck(
            host=f"[{host}]" if ":" in host else host,
            path=check.path,
            codec_client_type=types.CodecClientType.HTTP2
            if service.protocol == "http2"
            else types.CodecClientType.HTTP1,
        ),
    )
