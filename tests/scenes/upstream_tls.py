"""A plain listener of Envoy in front of an upstream with mutual TLS, and a listener that asks its clients.

All certificates and authorities come from the sidecar's secrets; the rest of Envoy's configuration stands.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scenes import tls_pair
from scenes.client_certificates import Leaf
from scenes.handshakes import HTTP2, RETRY, TLS

from embedded.ports import LOOPBACK

EXTENSIONS = "type.googleapis.com/envoy.extensions"
API = {
    "api_type": "DELTA_GRPC",
    "transport_api_version": "V3",
    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": RETRY}}],
}
AGGREGATED: dict[str, Any] = {"ads": {}}
# Envoy 1.40 dies (SIGSEGV) of a static cluster whose secrets come over ADS, which it has not begun by then.
OF_ITS_OWN = {"api_config_source": API}


def sds(name: str, source: dict[str, Any] = AGGREGATED) -> dict[str, Any]:
    return {"name": name, "sds_config": {**source, "resource_api_version": "V3"}}


def configuration(socket: Path, port: int, upstream: int) -> str:
    """`port` → an upstream that is shown `upstream/default`, and must be `app.internal` by `upstream-ca/default`."""
    tls = {
        "@type": f"{TLS}.v3.UpstreamTlsContext",
        "sni": "app.internal",
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [sds("upstream/default", OF_ITS_OWN)],
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "app.internal"}}]
                },
                "validation_context_sds_secret_config": sds("upstream-ca/default", OF_ITS_OWN),
            },
        },
    }
    cluster = _cluster("service/default", {"socket_address": {"address": LOOPBACK, "port_value": upstream}})
    cluster |= {
        "transport_socket": {"name": "tls", "typed_config": tls},
        # One request a connection: each shows what new connections are made with.
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    return _bootstrap(socket, _listener(port, "service/default"), cluster)


def asking(socket: Path, port: int, domain: str, *, required: bool = True) -> str:
    """`port` → 200, for clients that `client-ca/<domain>` lets in, under the certificate `default`."""
    tls = {
        "@type": f"{TLS}.v3.DownstreamTlsContext",
        "require_client_certificate": required,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [sds("default")],
            "validation_context_sds_secret_config": sds(f"client-ca/{domain}"),
        },
    }
    listener = _listener(port, None)
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": tls}
    return _bootstrap(socket, listener)


def _listener(port: int, cluster: str | None) -> dict[str, Any]:
    to = {"direct_response": {"status": 200}} if cluster is None else {"route": {"cluster": cluster}}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **to}]}]
        },
    }
    return {
        "name": "in",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _bootstrap(socket: Path, listener: dict[str, Any], *clusters: dict[str, Any]) -> str:
    xds = _cluster("xds", {"pipe": {"path": str(socket)}}) | {"typed_extension_protocol_options": HTTP2}
    return json.dumps(
        {
            "node": {"id": "upstream-tls", "cluster": "test"},
            "dynamic_resources": {"ads_config": API},
            "static_resources": {"listeners": [listener], "clusters": [xds, *clusters]},
        }
    )


@asynccontextmanager
async def upstream(leaf: Leaf, trusted: str) -> AsyncIterator[int]:
    """A server with mutual TLS that answers with the fingerprint of the certificate that it was shown; its port."""
    context = tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), leaf.pem + leaf.key_pem)
    context.load_verify_locations(cadata=trusted)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            body = hashlib.sha256(der).hexdigest().encode()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
