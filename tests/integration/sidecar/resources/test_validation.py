"""Envoy takes everything that can be built, at both ends of every number that an operator may set."""

from __future__ import annotations

import importlib
import warnings
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from scenes.edges import BUNDLES

from core.service import BREAKER, HEALTH, TIMES, Service
from embedded.envoy import validate
from embedded.process import ServerFailed
from sidecar.bootstrap import Bootstrap
from sidecar.edge.model import ClientAuth, Edge, Identity
from sidecar.wire.discovery_pb2 import Any
from sidecar.xds.resources.build import Builder, Built
from sidecar.xds.resources.messages import bootstrap, cluster, core, listener, route
from sidecar.xds.resources.plan import ListenerPlan
from sidecar.xds.types import CLUSTER, LISTENER, ROUTE

TLS = {"names": ["a.test", "*.b.test", "10.0.0.1", "::1", "spiffe://platform/shop"], "sni": "a.test"}


def services() -> dict[str, Service]:
    documents = []
    for end, protocol, tls, host in product(
        ("least", "most"),
        ("http1", "http2"),
        (None, TLS, {**TLS, "trust": "system"}, {**TLS, "sni": None, "trust": "own", "identity": "own"}),
        ("127.0.0.1", "::1", "shop_api.internal", "svc.cluster.local."),
    ):
        numbers = {member: getattr(bounds, end) for member, bounds in TIMES.values()}
        health = {member: getattr(bounds, end) for member, bounds in HEALTH.values()}
        breaker = {member: getattr(bounds, end) for member, bounds in BREAKER.values()}
        address = {"host": host, "port": 1 if end == "least" else 65535}
        documents.append(
            {
                "addresses": [address],
                "protocol": protocol,
                "tls": tls,
                "healthCheck": {"path": "/up?a=1", **health},
                "circuitBreaker": breaker,
                **numbers,
            }
        )
    return {f"s{number}": Service.from_json(f"s{number}", each) for number, each in enumerate(documents)}


def clients(several: int) -> dict[str, ClientAuth]:
    ids = [str(UUID(int=number)) for number in range(1, several + 1)]
    return {
        domain: ClientAuth(
            domain, "t", f"{'*.' * (number % 3 == 0)}h{number}.test", bool(number % 2), True, ("san",), None, b"", None
        )
        for number, domain in enumerate(ids)
    }


EDGE = Edge(
    services=services(),
    trust={"default": BUNDLES[0].encode(), "own": BUNDLES[1].encode()},
    identities={name: Identity(name, "ab" * 32, 1, 2e9) for name in ("default", "own")},
    client_auth=clients(12),
)
PLANS = [
    ListenerPlan("request", "0.0.0.0", 8080, 8443),
    ListenerPlan("connection", "::", 8080, 8443, True, ""),
]


def static(built: Built) -> bytes:
    """All of it as one static configuration: of `RouteConfiguration`s there are none in such, so they are put in."""
    document = yaml.safe_load(Bootstrap("edge").render())
    _import(document)
    del document["dynamic_resources"]["lds_config"], document["dynamic_resources"]["cds_config"]
    whole = bootstrap.Bootstrap.from_dict(document)
    whole.static_resources.clusters += map(_without_stream, read(built, CLUSTER, cluster.Cluster))
    whole.static_resources.listeners = read(built, LISTENER, listener.Listener)
    routes = {one.name: one for one in read(built, ROUTE, route.RouteConfiguration)}
    for one in whole.static_resources.listeners:
        for chain in one.filter_chains:
            packed = chain.filters[-1].typed_config
            manager = packed.unpack()
            manager.route_config, manager.rds = routes[manager.rds.route_config_name], None
            packed.value = bytes(manager)
    return bytes(whole)


def _without_stream(one: cluster.Cluster) -> cluster.Cluster:
    """Of a static cluster whose secrets come over the aggregated stream, Envoy's validation dies."""
    if one.transport_socket is None:
        return one
    packed = one.transport_socket.typed_config
    context = packed.unpack()
    common = context.common_tls_context
    secrets = [
        common.combined_validation_context.validation_context_sds_secret_config,
        *common.tls_certificate_sds_secret_configs,
    ]
    service = core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name="xds"))
    for secret in secrets:
        secret.sds_config.ads = None
        secret.sds_config.api_config_source = core.ApiConfigSource(
            api_type=core.ApiConfigSourceApiType.DELTA_GRPC,
            transport_api_version=core.ApiVersion.V3,
            grpc_services=[service],
        )
    packed.value = bytes(context)
    return one


def read(built: Built, type_url: str, message: type) -> list:
    return [message.parse(Any.FromString(one.resource).value) for one in built.resources[type_url].values()]


def _import(node: object) -> None:
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _import(value)
    if isinstance(node, dict) and "@type" in node:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(f"envoy_data_plane.{node['@type'].rpartition('/')[2].rpartition('.')[0]}")


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.lane)
@pytest.mark.parametrize("edge", [EDGE, Edge()], ids=["everything", "nothing"])
async def test_envoy_takes_what_is_built(plan, edge, state_dir: Path):
    built = Builder(plan).build(edge)
    assert not built.left_out
    file = state_dir / "envoy.pb"
    file.write_bytes(static(built))
    await validate(file, state_dir)


async def test_envoy_would_have_said_so(state_dir: Path):
    """The other way round: a configuration that Envoy refuses is refused in this way."""
    built = Builder(PLANS[0]).build(Edge())
    file = state_dir / "envoy.pb"
    file.write_bytes(static(built).replace(b"[a-z0-9._-]+", b"[a-z0-9._-(+"))
    with pytest.raises(ServerFailed):
        await validate(file, state_dir)
