"""What an Envoy is started with: envoy/bootstrap.yaml, filled in. It names the sidecar; the rest comes from there."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from string import Template
from typing import Any, Final

from core.errors import NameplateError
from core.upstream_name import host_kind
from sidecar.listen import Address, ListenError, TcpAddress, UnixAddress, parse_address

NAME: Final = "bootstrap.yaml"
# Beside the sources, or where the package was installed.
PLACES: Final = (Path(__file__).parents[1] / "envoy", Path(sys.prefix) / "share" / "nameplate" / "envoy")

# Those whose answers to this configuration are known; another one may refuse it, or understand it otherwise.
KNOWN_VERSIONS: Final = ("1.40",)
_version: Final = re.compile(r"v?(\d+\.\d+)(?:\.\d+)?(?:-\S*)?")

MAX_NODE_ID: Final = 200
LEAST_HEAP: Final = 64 * 1024 * 1024


class BootstrapError(NameplateError):
    """Codes: envoy_version_unknown, address_invalid, node_id_invalid, tls_needed, limit_invalid, template_missing."""


@dataclass(frozen=True, slots=True)
class TlsToSidecar:
    """Absolute paths on Envoy's machine: the chain and key that it shows, the CA of the sidecar's certificate; PEM."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """`check`, `xds`, `admin`: unix:PATH or HOST:PORT. `tls`: for a sidecar at HOST:PORT."""

    node_id: str
    check: str = "unix:/run/nameplate/check.sock"
    xds: str = "unix:/run/nameplate/xds.sock"
    admin: str = "127.0.0.1:9901"
    max_clients: int = 50_000
    max_heap_bytes: int = 2 * 1024**3
    tls: TlsToSidecar | None = None
    envoy_version: str = KNOWN_VERSIONS[-1]

    def render(self) -> str:
        """YAML. Raises BootstrapError."""
        self._examine()
        check, xds, admin = _address("check", self.check), _address("xds", self.xds), _address("admin", self.admin)
        if isinstance(admin, TcpAddress) and host_kind(admin.host) != "ip":
            raise BootstrapError("address_invalid", f"admin: {self.admin}: Envoy listens on an IP address, not a name")
        values: dict[str, Any] = {
            "NODE_ID": self.node_id,
            "ADMIN_ADDRESS": _envoys(admin),
            "CHECK_ADDRESS": _envoys(check),
            "CHECK_DISCOVERY": _discovery(check),
            "CHECK_TLS": self._socket("check", check),
            "XDS_ADDRESS": _envoys(xds),
            "XDS_DISCOVERY": _discovery(xds),
            "XDS_TLS": self._socket("xds", xds),
            "MAX_CLIENTS": self.max_clients,
            "MAX_HEAP_BYTES": self.max_heap_bytes,
        }
        return Template(template()).substitute({name: json.dumps(value) for name, value in values.items()})

    def _examine(self) -> None:
        version = _version.fullmatch(self.envoy_version)
        if version is None or version[1] not in KNOWN_VERSIONS:
            known = ", ".join(KNOWN_VERSIONS)
            raise BootstrapError(
                "envoy_version_unknown", f"Envoy {self.envoy_version}: this is known to work with Envoy {known} only"
            )
        named = self.node_id.isascii() and self.node_id.isprintable()
        if not named or not 0 < len(self.node_id) <= MAX_NODE_ID:
            raise BootstrapError("node_id_invalid", f"a node id is 1 to {MAX_NODE_ID} printable ASCII characters")
        if self.max_clients < 1 or self.max_heap_bytes < LEAST_HEAP:
            raise BootstrapError(
                "limit_invalid", f"at least 1 connection and {LEAST_HEAP} bytes of memory are needed to serve anybody"
            )
        if self.tls is not None:
            for file in (self.tls.cert, self.tls.key, self.tls.ca):
                if not file.is_absolute():
                    raise BootstrapError("tls_needed", f"{file}: is not an absolute path")

    def _socket(self, what: str, address: Address) -> dict[str, Any] | None:
        """Towards HOST:PORT, where the sidecar gives out private keys to whoever shows a certificate of its CA."""
        if isinstance(address, UnixAddress):
            return None
        if self.tls is None:
            raise BootstrapError(
                "tls_needed", f"{what}: {address} needs mutual TLS: say where Envoy has its certificate, key and CA"
            )
        is_ip = host_kind(address.host) == "ip"
        san = {"san_type": "IP_ADDRESS" if is_ip else "DNS", "matcher": {"exact": address.host}}
        context = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({} if is_ip else {"sni": address.host}),
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(self.tls.cert)},
                        "private_key": {"filename": str(self.tls.key)},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": str(self.tls.ca)},
                    "match_typed_subject_alt_names": [san],
                },
            },
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def template() -> str:
    """The text with its placeholders. Raises BootstrapError."""
    for place in PLACES:
        if (place / NAME).is_file():
            return (place / NAME).read_text()
    raise BootstrapError("template_missing", f"{NAME} was not installed with nameplate")


def _address(what: str, text: str) -> Address:
    try:
        address = parse_address(text)
    except ListenError as error:
        raise BootstrapError("address_invalid", f"{what}: {error.message}") from error
    if isinstance(address, TcpAddress):
        host = address.host.lower()
        if host_kind(host) is None and not _is_unspecified(host):
            raise BootstrapError("address_invalid", f"{what}: {text}: {address.host} is no IP address and no hostname")
        if what != "admin" and (not address.port or _is_unspecified(host)):
            raise BootstrapError("address_invalid", f"{what}: {text}: Envoy cannot connect to that")
    return address


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _envoys(address: Address) -> dict[str, Any]:
    if isinstance(address, UnixAddress):
        return {"pipe": {"path": str(address.path)}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _discovery(address: Address) -> str:
    return "STRICT_DNS" if isinstance(address, TcpAddress) and host_kind(address.host.lower()) == "name" else "STATIC"
