"""The sidecar as a process: its parts put together, started in order, and ended in order.

 start   no core dumps · settings · /livez · the directory (snapshot, then PostgreSQL) · sockets · ready
 serve   each long-running part is started again if it fails; none should
 drain   not ready, NOT_SERVING · no new connections · calls under way end · snapshot written · exit 0

Exit codes: 0 after SIGTERM or SIGINT, 1 if a part that cannot be started again ended, 2 if it could not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Awaitable, Callable

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]  # not in the stubs

from core import log as logs
from core.hardening import harden
from sidecar.admin import Admin, AdminServer, Readiness, bind_admin
from sidecar.authz.check import Checker
from sidecar.authz.service import SERVICE as AUTHORIZATION
from sidecar.authz.service import Authorization
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.service import DirectoryService
from sidecar.listen import Endpoint, ListenError, make_server
from sidecar.metrics import Metrics
from sidecar.settings import SettingsError, SidecarSettings, read_settings
from sidecar.xds import server as xds
from sidecar.xds.service import SecretService

# Seconds. Until the directory is loaded, names are loaded one by one, so that serving late is the worse of the two.
LOAD_PATIENCE = 5.0
LOAD_PROBE = 0.01
RESTART_DELAY = 1.0
# Calls under way take at most LOAD_DEADLINE; a longer one is stuck.
DRAIN_GRACE = 2.0

log = structlog.stdlib.get_logger(__name__)


class Sidecar:
    """Everything that is alive in one process. `run` may be called once, on the loop that it was made on."""

    def __init__(self, settings: SidecarSettings, vault: Vault) -> None:
        self.directory = DirectoryService(
            dsn=settings.sidecar_database_url.get_secret_value(),
            platform_domain=settings.platform_domain,
            sidecar=settings.sidecar_id,
            state_dir=settings.state_dir,
            capacity=settings.directory_capacity,
            misses_per_second=settings.misses_per_second,
        )
        self.vault = vault
        self.platform = PlatformCertificate(vault, settings.platform_domain)
        self.certificates = SecretCache(vault)
        self.secrets = SecretService(self.directory.directory, self.directory.source, self.certificates, self.platform)
        self.directory.feed.subscribe(self.secrets.on_change)
        self.checker = Checker(self.directory.directory, self.directory.challenges)
        authorization = Authorization(self.checker, self.directory.source, self.directory.challenges)

        self._health = health.HealthServicer()
        self._check_server = make_server()
        self._check_server.add_generic_rpc_handlers((authorization.handler(),))
        self._xds_server = make_server(xds.OPTIONS)
        self._xds_server.add_generic_rpc_handlers(tuple(xds.handlers(self.secrets)))
        for server in (self._check_server, self._xds_server):
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        tls = settings.tls()
        self._check_endpoint = Endpoint(settings.check_address, tls)
        self._xds_endpoint = Endpoint(settings.xds_address, tls)

        self._metrics = Metrics(self.directory.stats, self.checker.stats, self.secrets)
        self._admin_socket = bind_admin(settings.admin_listen)
        self._admin = AdminServer.of(Admin(self.readiness, self._metrics.read))
        self._published = False
        self._draining = False

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set. Returns the exit code. Raises ListenError, with nothing left behind."""
        try:
            for server, endpoint in self._servers():
                endpoint.bind(server)
        except ListenError:
            self._admin_socket.close()
            for _, endpoint in self._servers():
                endpoint.close()
            raise
        admin = asyncio.create_task(self._admin.serve(sockets=[self._admin_socket]), name="admin")
        parts = [
            asyncio.create_task(keep_running(name, part), name=name)
            for name, part in (
                ("directory", self.directory.run),
                ("vault", self.vault.run),
                ("platform certificate", self.platform.run),
            )
        ]
        ended = asyncio.create_task(stop.wait(), name="stop")
        try:
            await self._serve_when_loaded(ended)
            await asyncio.wait({ended, admin}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                log.critical("admin_ended", exc_info=admin.exception())
        finally:
            await self._drain()
            ended.cancel()
            for part in parts:
                part.cancel()
            await asyncio.gather(ended, *parts, return_exceptions=True)
            await self.certificates.close()
            self._admin.should_exit = True
            await asyncio.gather(admin, return_exceptions=True)
        log.info("sidecar_ended")
        return 0 if stop.is_set() else 1

    def readiness(self) -> Readiness:
        directory = self.directory.stats()
        why_not = None
        if self._draining:
            why_not = "draining"
        elif not directory.loaded:
            why_not = "the directory is not loaded"
        elif not self._published:
            why_not = "the sockets are not bound"
        return Readiness(
            ready=why_not is None,
            why_not=why_not,
            stale=directory.stale,
            complete=directory.complete,
            position=directory.feed_position,
            feed_age=round(directory.feed_age, 3) if math.isfinite(directory.feed_age) else None,
            names=directory.names,
        )

    async def _serve_when_loaded(self, stop: asyncio.Task[bool]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_PATIENCE):
                # Once, at the start: not worth an event in the directory.
                while not self.directory.directory.loaded and not stop.done():  # noqa: ASYNC110
                    await asyncio.sleep(LOAD_PROBE)
        if stop.done():
            return
        for server, endpoint in self._servers():
            await server.start()
            endpoint.publish()
        self._published = True
        for service in ("", AUTHORIZATION, xds.SECRETS, xds.AGGREGATED):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        log.info(
            "sidecar_serving",
            check_address=str(self._check_endpoint.address),
            xds_address=str(self._xds_endpoint.address),
            names=len(self.directory.directory),
            loaded=self.directory.directory.loaded,
        )

    async def _drain(self) -> None:
        self._draining = True
        await self._health.enter_graceful_shutdown()
        log.info("sidecar_draining")
        # A stream of secrets has no end of its own. Envoy keeps its certificates and connects again.
        stopping = [server.stop(DRAIN_GRACE) for server, _ in self._servers()]
        await asyncio.gather(self.secrets.close(), *stopping)
        for _, endpoint in self._servers():
            endpoint.close()

    def _servers(self) -> tuple[tuple[grpc.aio.Server, Endpoint], ...]:
        return ((self._check_server, self._check_endpoint), (self._xds_server, self._xds_endpoint))


async def keep_running(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run it until cancelled, and again if it ends: what is in memory goes on being served meanwhile."""
    while True:
        try:
            await part()
            log.error("part_ended", part=name)
        except Exception:  # the top of the loop: logged with its traceback, and tried again
            log.exception("part_failed", part=name)
        await asyncio.sleep(RESTART_DELAY)


async def run(settings: SidecarSettings) -> int:
    """The whole process on the running loop. Raises ListenError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    vault = Vault(
        settings.vault_addr,
        mount=settings.vault_mount,
        role_id=settings.vault_role_id,
        secret_id=settings.secret_id,
        ca_file=settings.vault_ca_file,
    )
    async with vault:
        return await Sidecar(settings, vault).run(stop)


def main() -> int:
    """Returns the exit code."""
    harden()
    try:
        settings = read_settings()
        logs.configure("sidecar", settings.log_level)
        with asyncio.Runner(loop_factory=fastest_loop()) as runner:
            return runner.run(run(settings))
    except (SettingsError, ListenError) as error:
        for line in error.message.splitlines():
            print(f"nameplate sidecar: {line}", file=sys.stderr)  # noqa: T201 -- for whoever started it
        return 2


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 -- optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
