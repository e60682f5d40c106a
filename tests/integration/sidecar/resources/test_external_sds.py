"""The recipe of docs/envoy.md for an Envoy with a control plane of its own: the listeners are others', the secrets the
sidecar's, each on a stream of its own, as Envoy Gateway has it for a Secret of the type gateway.envoyproxy.io/sds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scenes import bare, tls_upstream
from scenes.hierarchy import issue

from core.certificate import Certificate
from core.vault import identity_path
from embedded.browser import HandshakeRefused
from embedded.envoy import Envoy
from embedded.ports import LOOPBACK, free_ports

TYPE = "type.googleapis.com/envoy.extensions"
UPSTREAM_CA = issue("Upstream CA", ca=True)
CLIENTS_CA = issue("Clients CA", ca=True)


def from_sidecar(name: str, api: str) -> dict[str, Any]:
    source = {
        "api_type": api,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sidecar"}}],
    }
    return {"name": name, "sds_config": {"resource_api_version": "V3", "api_config_source": source}}


def tls(direction: str, common: dict[str, Any]) -> dict[str, Any]:
    config = {"@type": f"{TYPE}.transport_sockets.tls.v3.{direction}TlsContext", "common_tls_context": common}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def listener(port: int, api: str, hosts: list[str]) -> dict[str, Any]:
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "own",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "own",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "own"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": "own",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {"@type": f"{TYPE}.filters.listener.tls_inspector.v3.TlsInspector"},
            }
        ],
        "filter_chains": [
            {
                "filter_chain_match": {"server_names": [host]},
                "transport_socket": tls(
                    "Downstream",
                    {"tls_certificate_sds_secret_configs": [from_sidecar(host, api)]},
                ),
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            }
            for host in hosts
        ],
    }


def endpoints(address: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"lb_endpoints": [{"endpoint": {"address": address}}]}]


def configuration(edge, api: str, port: int, upstream: int, hosts: list[str]) -> str:
    options = f"{TYPE}.upstreams.http.v3.HttpProtocolOptions"
    sidecar = {
        "name": "sidecar",
        "load_assignment": {
            "cluster_name": "sidecar",
            "endpoints": endpoints({"pipe": {"path": f"{edge.home}/run/xds.sock"}}),
        },
        "typed_extension_protocol_options": {
            options.removeprefix("type.googleapis.com/"): {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    own = {
        "name": "own",
        "load_assignment": {
            "cluster_name": "own",
            "endpoints": endpoints({"socket_address": {"address": LOOPBACK, "port_value": upstream}}),
        },
        "transport_socket": tls(
            "Upstream",
            {
                "tls_certificate_sds_secret_configs": [from_sidecar("upstream/external", api)],
                "validation_context_sds_secret_config": from_sidecar("upstream-ca/external", api),
            },
        ),
    }
    resources = {"listeners": [listener(port, api, hosts)], "clusters": [sidecar, own]}
    return json.dumps({"node": {"id": "own", "cluster": "own"}, "static_resources": resources})


@pytest.mark.parametrize("api", ["DELTA_GRPC", "GRPC"])
async def test_listeners_of_another_control_plane_have_their_secrets_from_the_sidecar(
    request_lane, state_dir, eventually, api
):
    edge = request_lane
    tenant = await edge.add_tenant(f"external-{api.lower().replace('_', '-')}")
    early, late = f"early-{tenant}.test", f"late-{tenant}.test"
    await edge.add_domain(tenant, early)
    shown = issue("envoy", CLIENTS_CA, names=("envoy.platform.test",))
    certificate = Certificate.parse(shown.pem, shown.key_pem)
    written = await edge.mount.openbao.request(
        "POST", f"{edge.mount.path}/data/{identity_path('external')}", {"data": certificate.to_vault()}
    )
    async with bare.rows(edge) as rows:
        await rows.identity("external", written["data"]["version"], certificate.fingerprint)
        await rows.connection.execute(
            "INSERT INTO trust (name, pem) VALUES ('external', $1) ON CONFLICT DO NOTHING", UPSTREAM_CA.pem
        )
    upstream_certificate = issue("upstream", UPSTREAM_CA, names=("app.test",))
    async with tls_upstream.serve(upstream_certificate, CLIENTS_CA) as upstream:
        (port,) = free_ports(1)
        # A name without a certificate yet holds the whole listener up, on streams of the state of the world for
        # as long as Envoy waits for a first answer (15 s): there, no chain is made before its domain is live.
        if api == "GRPC":
            await edge.add_domain(tenant, late)
        await eventually(lambda: is_known(edge, late if api == "GRPC" else early), timeout=15)
        async with Envoy.start(state_dir, configuration(edge, api, port, upstream.port, [early, late])):
            page = await edge.browser.get(early, port)
            assert (page.names, page.json()) == ((early,), {"upstream": "tls", "client": "envoy"})
            if api == "DELTA_GRPC":
                with pytest.raises((HandshakeRefused, ConnectionError)):
                    await edge.browser.get(late, port)
                await edge.add_domain(tenant, late)

            async def serves_the_late_one() -> bool:
                try:
                    return (await edge.browser.get(late, port)).names == (late,)
                except (HandshakeRefused, ConnectionError):
                    return False

            await eventually(serves_the_late_one, timeout=15)


async def is_known(edge, host: str) -> bool:
    return (await edge.browser.get_plain(host, edge.http_port)).status == 308
