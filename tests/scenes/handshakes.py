"""An Envoy that does nothing but handshakes, its secrets from a socket; and a client that only looks at them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.ports import LOOPBACK

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls"
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
# As in envoy/static.yaml: connect again soon, not after a random wait of up to 30 s.
RETRY = {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}


def configuration(
    socket: Path, port: int, *, api_type: str = "DELTA_GRPC", aggregated: bool = True, patience: str = "5s"
) -> str:
    """`api_type`: DELTA_GRPC or GRPC. `aggregated`: one stream for all secrets, else one each. `patience`: how long a
    handshake may wait."""
    services = [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": RETRY}}]
    api = {"api_type": api_type, "transport_api_version": "V3", "grpc_services": services}
    source: dict[str, Any] = {"ads": {}} if aggregated else {"api_config_source": api}
    selector = {
        "@type": f"{TLS}.cert_selectors.on_demand_secret.v3.Config",
        "config_source": {**source, "resource_api_version": "V3"},
        "certificate_mapper": {
            "name": "envoy.tls.certificate_mappers.sni",
            "typed_config": {"@type": f"{TLS}.cert_mappers.sni.v3.SNI", "default_value": "default"},
        },
    }
    tls = {
        "@type": f"{TLS}.v3.DownstreamTlsContext",
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "custom_tls_certificate_selector": {
                "name": "envoy.tls.certificate_selectors.on_demand_secret",
                "typed_config": selector,
            }
        },
    }
    echo = {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}
    listener = {
        "name": "https",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "listener_filters": [
            {
                "name": "tls_inspector",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
                },
            }
        ],
        "filter_chains": [
            {
                "transport_socket_connect_timeout": patience,
                "transport_socket": {"name": "tls", "typed_config": tls},
                "filters": [{"name": "echo", "typed_config": echo}],
            }
        ],
    }
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": HTTP2,
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}],
        },
    }
    bootstrap: dict[str, Any] = {
        "node": {"id": "handshakes", "cluster": "test"},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
    if aggregated:
        bootstrap["dynamic_resources"] = {"ads_config": api}
    return json.dumps(bootstrap)


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """The handshake failed after `seconds`. `alert`: it ended by a TLS alert and not by a closed connection."""

    alert: bool
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Connection:
    """Open, and it echoes. `fingerprint`: SHA-256 of the leaf, lower-case hexadecimal."""

    fingerprint: str
    seconds: float
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def is_alive(self) -> bool:
        self._writer.write(b"hello")
        async with asyncio.timeout(5):
            return await self._reader.readexactly(5) == b"hello"

    def close(self) -> None:
        self._writer.transport.abort()


async def connect(port: int, sni: str | None, *, tls12: bool = False) -> Connection:
    """A handshake that accepts any certificate. Raises Refused."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    started = time.monotonic()
    try:
        async with asyncio.timeout(15):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=sni or "")
    except (ssl.SSLError, ConnectionError) as error:
        reason = str(getattr(error, "reason", None) or error)
        raise Refused("ALERT" in reason, time.monotonic() - started, reason) from error
    leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return Connection(hashlib.sha256(leaf).hexdigest(), time.monotonic() - started, reader, writer)


async def openssl(port: int, sni: str) -> str:
    """What `openssl s_client` prints, which sends any text as SNI."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", "-servername", sni),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(15):
        output, _ = await process.communicate()
    return output.decode(errors="replace")


async def fingerprint(port: int, sni: str | None) -> str:
    connection = await connect(port, sni)
    connection.close()
    return connection.fingerprint
