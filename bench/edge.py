"""A sidecar and Envoys with the configurations that operators use, on the servers' core; and their peers.

Unless it has an upstream, Envoy answers by itself what it lets through (a direct response): an upstream would cost more
than everything that is compared here.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.envoys import NOWHERE, Sockets, answering, bootstrap, envoy_configuration
from bench.names import PLATFORM
from bench.process import Cores, begun_on_core, cpu_seconds, on_core
from bench.relay import Relay
from embedded.database import Database
from embedded.envoy import Envoy, HotRestart
from embedded.operator import command
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port, free_ports
from embedded.process import Process, children
from embedded.vault_mount import VaultMount

PROJECT = Path(__file__).parents[1]
START_DEADLINE = 120.0  # a million names
REPLACE_DEADLINE = 60.0
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Ports:
    """Of an Envoy that takes its listeners from the sidecar: a sidecar has one such Envoy."""

    http: int
    https: int

    @classmethod
    def choose(cls) -> Ports:
        return cls(*free_ports(2))


@dataclass(slots=True)
class Server:
    """A sidecar, or a peer that answers the same checks. `ports`: of the listeners that it gives to an Envoy."""

    process: Process
    sockets: Sockets
    admin_port: int
    seconds_to_ready: float
    ports: Ports

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def check_socket(self) -> Path:
        return self.sockets.checks

    async def metrics(self) -> Mapping[str, float]:
        """Samples by name and labels, as in the exposition."""
        async with plain_http() as http:
            text = (await http.get(f"http://{LOOPBACK}:{self.admin_port}/metrics", timeout=30)).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def checks(self) -> int:
        """Checks that it has answered OK so far, by its own count."""
        return int((await self.metrics())['nameplate_checks_total{outcome="ok"}'])

    async def replace(self) -> float:
        """SIGHUP to a supervisor; the seconds until only another worker is left. Raises TimeoutError."""
        before = set(self.workers())
        started = time.monotonic()
        self.process.signal(signal.SIGHUP)
        async with asyncio.timeout(REPLACE_DEADLINE):
            while not (now := set(self.workers())) or now & before or len(now) != 1:  # noqa: ASYNC110 -- other processes set no event
                await asyncio.sleep(POLL)
        return time.monotonic() - started

    def workers(self) -> list[int]:
        """Of a supervisor."""
        return children(self.pid)

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

    async def start_supervised(self, *, access_log: Path | None = None) -> Server:
        """As an operator starts it: a supervisor, and the sidecar as its child. `access_log`: of a bare Envoy's."""
        return await self._start("supervised", command("sidecar"), access_log=str(access_log or NOWHERE))

    async def start_sampled(self, profile: Path) -> Server:
        """The product's own process under `bench.sampler`."""
        return await self._start("sampled", [sys.executable, "-m", "bench.sampler", str(profile)])

    async def start_grpc_aio(self) -> Server:
        """The peer: the same lookup behind grpc.aio."""
        return await self._start("grpc-aio", [sys.executable, "-m", "bench.peers.grpcaio"])

    async def start_envoy(
        self,
        name: str,
        configuration: Path,
        servers: Sockets,
        *,
        checked: bool = True,
        upstream: int | None = None,
    ) -> tuple[Envoy, int]:
        """One worker. Returns it and its HTTPS port.

        `checked`: False takes ext_authz out of the configuration, and nothing else. `upstream`: its port.
        """
        text, https_port = envoy_configuration(name, configuration, servers, checked=checked, upstream=upstream)
        with on_core(self.cores.server):
            envoy = await self._servers.enter_async_context(Envoy.start(self.home, text, name=name))
        return envoy, https_port

    async def start_bare_envoy(
        self,
        name: str,
        servers: Sockets,
        *,
        hot_restart: HotRestart | None = None,
        drain_time: int = 5,
        anywhere: bool = False,
    ) -> Envoy:
        """One worker, and nothing but the sidecar in its configuration; its ports are the sidecar's to say."""
        with on_core(*(self.cores.both if anywhere else {self.cores.server})):
            return await self._servers.enter_async_context(
                Envoy.start(
                    self.home, bootstrap(name, servers), name=name, hot_restart=hot_restart, drain_time=drain_time
                )
            )

    async def start_relay(self, server: Server) -> Relay:
        """Between the server's discovery socket and an Envoy that is given `relay.path` for it."""
        path = server.sockets.secrets.with_name("relay.sock")
        return await self._servers.enter_async_context(Relay.start(path, server.sockets.secrets))

    async def start_upstream(self, name: str = "upstream") -> int:
        """Something on the load's core that answers 200, and costs as little as can be. Returns its port."""
        port = free_port()
        with on_core(self.cores.load):
            await self._servers.enter_async_context(Envoy.start(self.home, answering(port), name=name))
        return port

    async def stop(self, server: Server) -> int:
        return await server.process.stop(60)

    async def _start(self, name: str, argv: list[str], *, anywhere: bool = False, access_log: str = NOWHERE) -> Server:
        admin_port, ports = free_port(), Ports.choose()
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
            "NAMEPLATE_LISTEN_ADDRESS": LOOPBACK,
            "NAMEPLATE_HTTP_PORT": str(ports.http),
            "NAMEPLATE_HTTPS_PORT": str(ports.https),
            "NAMEPLATE_ACCESS_LOG": access_log,
        }

        async def ready() -> bool:
            try:
                return (await http.get(f"http://{LOOPBACK}:{admin_port}/readyz", timeout=30)).status_code == 200
            except httpx.TransportError:
                return False

        async with plain_http() as http:
            started = time.monotonic()
            starting = Process.start(
                name, argv, log_path=home / "log", ready=ready, env=environment, cwd=PROJECT, deadline=START_DEADLINE
            )
            process = await begun_on_core(starting, *(self.cores.both if anywhere else {self.cores.server}))
            seconds = time.monotonic() - started
        self._servers.push_async_callback(process.stop)
        return Server(process, Sockets(check_socket, xds_socket), admin_port, seconds, ports)
