"""Configurations of the Envoys that are measured: those that operators use, with as little changed as can be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from embedded.envoy import endpoints
from embedded.ports import LOOPBACK, free_port, free_ports
from sidecar.bootstrap import Bootstrap

PROJECT = Path(__file__).parents[1]
REQUEST_LANE = PROJECT / "envoy" / "static.yaml"
CONNECTION_LANE = PROJECT / "envoy" / "connection.yaml"

ROUTE = "route: {cluster: platform, timeout: 0s}"
DIRECT_RESPONSE = 'direct_response: {status: 200, body: {inline_string: "ok"}}'
# The filter's item in the list of HTTP filters: all lines of it are indented deeper than its dash.
_ext_authz = re.compile(r"^( *)- name: envoy\.filters\.http\.ext_authz\n(?:\1  .*\n|\s*\n)+", re.MULTILINE)

NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
NOWHERE = "/dev/null"
MOST_CLIENTS = 20_000


@dataclass(frozen=True, slots=True)
class Sockets:
    """What an Envoy asks: who checks, and who has the certificates."""

    checks: Path
    secrets: Path


def envoy_configuration(
    name: str, configuration: Path, servers: Sockets, *, checked: bool, upstream: int | None
) -> tuple[str, int]:
    """YAML, and the HTTPS port in it."""
    http_port, https_port = free_ports(2)
    text = Template(configuration.read_text()).substitute(
        NODE_ID=name,
        LISTEN_ADDRESS=LOOPBACK,
        HTTP_PORT=http_port,
        HTTPS_PORT=https_port,
        CHECK_SOCKET=servers.checks,
        XDS_SOCKET=servers.secrets,
        UPSTREAMS=endpoints(upstream or free_port()),
        ACCESS_LOG=NOWHERE,
        ADMIN_ADDRESS=LOOPBACK,
        ADMIN_PORT=0,
        MAX_CLIENTS=MOST_CLIENTS,
        MAX_HEAP_BYTES=2 << 30,
    )
    if upstream is None:
        text = replaced(text, ROUTE, DIRECT_RESPONSE)
    if not checked:
        text = without_checks(text)
    return text, https_port


def bootstrap(name: str, servers: Sockets) -> str:
    """As `nameplate bootstrap` prints it."""
    return Bootstrap(
        node_id=name,
        check=f"unix:{servers.checks}",
        xds=f"unix:{servers.secrets}",
        admin=f"{LOOPBACK}:0",
        max_clients=MOST_CLIENTS,
    ).render()


def answering(port: int) -> str:
    """An Envoy that answers every request of plain HTTP on that port."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{NETWORK}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    listener = {
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return json.dumps({"static_resources": {"listeners": [listener]}})


def replaced(text: str, old: str, new: str) -> str:
    """Raises ValueError when the configuration has changed so that there is nothing to replace."""
    if old not in text:
        raise ValueError(f"the configuration of Envoy has no {old!r}")
    return text.replace(old, new)


def without_checks(text: str) -> str:
    """The same configuration, with the ext_authz filter left out wherever it is written (not its aliases)."""
    bare, count = _ext_authz.subn("", text)
    if not count:
        raise ValueError("the configuration of Envoy has no ext_authz")
    return bare
