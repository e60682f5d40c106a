"""A sidecar and Envoys with the configurations that operators use, on the servers' core; and their peers.

Unless it has an upstream, Envoy answers by itself what it lets through (a direct response): an upstream would cost more
than everything that is compared here.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import httpx

from bench.names import PLATFORM
from bench.process import Cores, begun_on_core, cpu_seconds, on_core
from embedded.database import Database
from embedded.envoy import Envoy, endpoints
from embedded.ports import LOOPBACK, free_port, free_ports
from embedded.process import Process
from embedded.stack import command
from embedded.vault_mount import VaultMount

PROJECT = Path(__file__).parents[1]
REQUEST_LANE = PROJECT / "envoy" / "static.yaml"
CONNECTION_LANE = PROJECT / "envoy" / "connection.yaml"

ROUTE = "route: {cluster: platform, timeout: 0s}"
DIRECT_RESPONSE = 'direct_response: {status: 200, body: {inline_string: "ok"}}'
# The filter's item in the list of HTTP filters: all lines of it are indented deeper than its dash.
_ext_authz = re.compile(r"^( *)- name: envoy\.filters\.http\.ext_authz\n(?:\1  .*\n|\s*\n)+", re.MULTILINE)

NETWORK = "type.googleapis.com/envoy.extensions.filters.network"

START_DEADLINE = 120.0  # a million names


@dataclass(frozen=True, slots=True)
class Sockets:
    """What an Envoy asks: who checks, and who has the certificates."""

    checks: Path
    secrets: Path


@dataclass(slots=True)
class Server:
    """A sidecar, or a peer that answers the same checks."""

    process: Process
    sockets: Sockets
    admin_port: int
    seconds_to_ready: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def check_socket(self) -> Path:
        return self.sockets.checks

    async def metrics(self) -> Mapping[str, float]:
        """Samples by name and labels, as in the exposition."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://{LOOPBACK}:{self.admin_port}/metrics", timeout=30)).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def checks(self) -> int:
        """Checks that it has answered OK so far, by its own count."""
        return int((await self.metrics())['nameplate_checks_total{outcome="ok"}'])

    async def meter(self) -> Meter:
        """What it has spent from now on."""
        checks = await self.checks()
        return Meter(self, checks, cpu_seconds(self.pid))


@dataclass(frozen=True, slots=True)
class Meter:
    """Begun by `Server.meter`. To be asked for its count costs a server milliseconds: they are kept out of its CPU."""

    _server: Server
    _checks: int
    _cpu: float

    async def read(self) -> tuple[int, float]:
        """Checks that were answered OK, and CPU seconds."""
        cpu = cpu_seconds(self._server.pid) - self._cpu
        return await self._server.checks() - self._checks, cpu


@dataclass(slots=True)
class Edge:
    home: Path
    cores: Cores
    database: Database
    mount: VaultMount
    _servers: AsyncExitStack = field(repr=False)

    async def start_sidecar(self, name: str = "sidecar", *, anywhere: bool = False) -> Server:
        """The product's own process, without a supervisor. `anywhere`: on both cores."""
        return await self._start(name, [sys.executable, "-m", "sidecar"], anywhere=anywhere)

    async def start_supervised(self) -> Server:
        """As an operator starts it: a supervisor, and the sidecar as its child."""
        return await self._start("supervised", command("sidecar"))

    async def start_sampled(self, profile: Path) -> Server:
        """The product's own process under `bench.sampler`."""
        return await self._start("sampled", [sys.executable, "-m", "bench.sampler", str(profile)])

    async def start_grpc_aio(self) -> Server:
        """The peer: the same lookup behind grpc.aio."""
        return await self._start("grpc-aio", [sys.executable, "-m", "bench.peers.grpcaio"])

    async def start_envoy(
        self, name: str, configuration: Path, servers: Sockets, *, checked: bool = True, upstream: int | None = None
    ) -> tuple[Envoy, int]:
        """One worker. Returns it and its HTTPS port.

        `checked`: False takes ext_authz out of the configuration, and nothing else. `upstream`: its port.
        """
        text, https_port = envoy_configuration(name, configuration, servers, checked=checked, upstream=upstream)
        with on_core(self.cores.server):
            envoy = await self._servers.enter_async_context(Envoy.start(self.home, text, name=name))
        return envoy, https_port

    async def start_upstream(self) -> int:
        """Something on the load's core that answers 200, and costs as little as can be. Returns its port."""
        port = free_port()
        with on_core(self.cores.load):
            await self._servers.enter_async_context(Envoy.start(self.home, answering(port), name="upstream"))
        return port

    async def stop(self, server: Server) -> int:
        return await server.process.stop(60)

    async def _start(self, name: str, argv: list[str], *, anywhere: bool = False) -> Server:
        admin_port = free_port()
        home = self.home / name
        home.mkdir(mode=0o700, exist_ok=True)
        check_socket, xds_socket = home / "check.sock", home / "xds.sock"
        environment = {
            "NAMEPLATE_SIDECAR_DATABASE_URL": self.database.sidecar_dsn,
            "NAMEPLATE_SIDECAR_ID": name,
            "NAMEPLATE_PLATFORM_DOMAIN": PLATFORM,
            "NAMEPLATE_VAULT_ADDR": self.mount.url,
            "NAMEPLATE_VAULT_MOUNT": self.mount.path,
            "NAMEPLATE_VAULT_ROLE_ID": self.mount.sidecar.role_id,
            "NAMEPLATE_VAULT_SECRET_ID": self.mount.sidecar.secret_id,
            "NAMEPLATE_CHECK_ADDRESS": f"unix:{check_socket}",
            "NAMEPLATE_XDS_ADDRESS": f"unix:{xds_socket}",
            "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{admin_port}",
            "NAMEPLATE_STATE_DIR": str(home),
        }

        async def ready() -> bool:
            try:
                return (await http.get(f"http://{LOOPBACK}:{admin_port}/readyz", timeout=30)).status_code == 200
            except httpx.TransportError:
                return False

        async with httpx.AsyncClient(trust_env=False) as http:  # one: to make it costs as much as what is measured
            started = time.monotonic()
            starting = Process.start(
                name, argv, log_path=home / "log", ready=ready, env=environment, cwd=PROJECT, deadline=START_DEADLINE
            )
            process = await begun_on_core(starting, *(self.cores.both if anywhere else {self.cores.server}))
            seconds = time.monotonic() - started
        self._servers.push_async_callback(process.stop)
        return Server(process, Sockets(check_socket, xds_socket), admin_port, seconds)


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
        ACCESS_LOG="/dev/null",
        ADMIN_ADDRESS=LOOPBACK,
        ADMIN_PORT=0,
        MAX_CLIENTS=20_000,
        MAX_HEAP_BYTES=2 << 30,
    )
    if upstream is None:
        text = replaced(text, ROUTE, DIRECT_RESPONSE)
    if not checked:
        text = without_checks(text)
    return text, https_port


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
