"""What Envoy makes of authorities and revocation lists: whether it loads them, and whom it lets in by them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.client_certificates import Authority, Leaf

from embedded.envoy import Envoy
from embedded.ports import LOOPBACK

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
ECHO = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"
INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"

Bundle = tuple[str, str | None]  # authorities and lists, PEM


@dataclass(frozen=True, slots=True)
class Gate:
    """An Envoy with a filter chain for each of some bundles, as sidecar.xds.resources.chains has them."""

    port: int

    async def lets_in(self, number: int, leaf: Leaf) -> bool:
        """By the bundle of that number."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        leaf.show_by(context)
        async with asyncio.timeout(30):
            try:
                reader, writer = await asyncio.open_connection(
                    LOOPBACK, self.port, ssl=context, server_hostname=f"n{number}.example"
                )
            except (ssl.SSLError, ConnectionError):
                return False
            try:
                writer.write(b"octets")
                return await reader.read(6) == b"octets"
            except (ssl.SSLError, ConnectionError):
                return False
            finally:
                writer.transport.abort()


@asynccontextmanager
async def gate(folder: Path, port: int, bundles: Sequence[Bundle]) -> AsyncIterator[Gate]:
    """Raises ServerFailed if Envoy cannot load one of them."""
    async with Envoy.start(folder, _configuration(port, bundles), name=f"envoy{port}"):
        yield Gate(port)


def _configuration(port: int, bundles: Sequence[Bundle]) -> str:
    own = Authority.root("Server", 50).issue("CN=server")
    certificate = {"certificate_chain": {"inline_string": own.pem}, "private_key": {"inline_string": own.key_pem}}

    def chain(number: int, bundle: Bundle) -> dict[str, Any]:
        authorities, lists = bundle
        trust: dict[str, Any] = {"trusted_ca": {"inline_string": authorities}, "only_verify_leaf_cert_crl": True}
        if lists is not None:
            trust["crl"] = {"inline_string": lists}
        common = {"tls_certificates": [certificate], "validation_context": trust}
        tls = {"@type": TLS, "require_client_certificate": True, "common_tls_context": common}
        return {
            "filter_chain_match": {"server_names": [f"n{number}.example"]},
            "transport_socket": {"name": "tls", "typed_config": tls},
            "filters": [{"name": "echo", "typed_config": {"@type": ECHO}}],
        }

    listener = {
        "name": "tls",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "listener_filters": [{"name": "tls_inspector", "typed_config": {"@type": INSPECTOR}}],
        "filter_chains": [chain(number, bundle) for number, bundle in enumerate(bundles)],
    }
    return json.dumps({"static_resources": {"listeners": [listener]}})
