"""The sidecar as a process: its parts put together, started in order, and ended in order.

 start     no core dumps · settings · addresses · the directory (snapshot, then PostgreSQL) · checks answered ·
           then what no check waits for: Vault, discovery streams, administration · ready
 replace   another sidecar answers meanwhile, so nothing is published before all of it is ready, and is as fresh
 serve     each long-running part is started again if it fails; none should
 drain     not ready, NOT_SERVING · no new connections · GOAWAY, calls under way end · snapshot written

It is told to end by SIGTERM or SIGINT, by its supervisor when another one answers under its addresses, and sees by
itself when another process has taken them.  Exit codes: sidecar.supervisor.contract.
"""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from core import log as logs
from core.hardening import harden
from core.loop import runner
from sidecar.checks import Checks
from sidecar.directory.service import DirectoryService
from sidecar.listen import Endpoint, ListenError, bind_tcp
from sidecar.readiness import Readiness
from sidecar.settings import SettingsError, SidecarSettings, read_settings
from sidecar.socket_path import Holder
from sidecar.supervisor.contract import ENDED, FAILED, NOT_READY, TAKEN, UNUSABLE
from sidecar.supervisor.link import Link
from sidecar.xds.ended import EndedRegistrations

if TYPE_CHECKING:
    from sidecar.admin import AdminServer
    from sidecar.discovery import Discovery

# A third of all modules, which no check needs.
LATE = ("sidecar.discovery", "sidecar.admin", "sidecar.metrics")

# Seconds. While the directory is read, checks are first in line for the processor; if it takes longer, who looks after
# the process is told that it is alive.
LOAD_AHEAD = 0.5
# Until the directory is loaded, names are loaded one by one, so that answering late is the worse of the two …
LOAD_PATIENCE = 5.0
# … unless another sidecar answers, which has read every change. It goes on if its successor has not done so either.
REPLACE_PATIENCE = 60.0
LOAD_PROBE = 0.01
# The other one goes on answering until it is noticed, so it need not be soon.
WATCH_INTERVAL = 0.25
# A successor that could not start in that time may the next time.
LOST_INTERVAL = 10.0
RESTART_DELAY = 1.0
# Calls under way take at most authz's LOAD_DEADLINE; a longer one is stuck.
DRAIN_GRACE = 2.0

ADMIN = "administration"

log = structlog.stdlib.get_logger(__name__)


class Stop(Enum):
    """Why it ends."""

    TOLD = auto()
    REPLACED = auto()
    SOCKET_LOST = auto()
    NOT_READY = auto()
    ADMIN_ENDED = auto()


EXIT_CODES = {
    Stop.TOLD: ENDED,
    Stop.REPLACED: TAKEN,
    Stop.SOCKET_LOST: FAILED,
    Stop.ADMIN_ENDED: FAILED,
    Stop.NOT_READY: NOT_READY,
}


class Sidecar:
    """Everything that is alive in one process. `run` may be called once, on the loop that it was made on.

    `replace`: another sidecar has the addresses, and goes on until this one is ready.
    """

    def __init__(self, settings: SidecarSettings, link: Link, *, replace: bool) -> None:
        self._settings = settings
        self._link = link
        self._replace = replace
        self.directory = DirectoryService(
            dsn=settings.sidecar_database_url.get_secret_value(),
            platform_domain=settings.platform_domain,
            sidecar=settings.sidecar_id,
            state_dir=settings.state_dir,
            capacity=settings.directory_capacity,
            misses_per_second=settings.misses_per_second,
        )
        # Control counts on what was told under our name for as long as we answer under our addresses, no longer.
        # From the first word on: the feed says once a connection what has ended lately.
        self.ended = EndedRegistrations()
        self.directory.feed.subscribe_ended(self.ended.add)
        self.directory.feed.telling = False
        self.checks = Checks(self.directory)
        self._endpoint = Endpoint(settings.check_address, settings.tls(), replace=replace)
        self._xds_endpoint = Endpoint(settings.xds_address, settings.tls(), replace=replace)
        self._admin_socket: socket.socket | None = None
        self._admin: AdminServer | None = None
        self.discovery: Discovery | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._published = False

    def stop(self, why: Stop) -> None:
        """The first reason is the one that counts."""
        if not self._stopped.done():
            self._stopped.set_result(why)

    async def run(self) -> Stop:
        """Answer until stopped. Raises ListenError, with nothing left behind."""
        try:
            self._bind()
            self._keep_running("directory", self.directory.run)
            if await (self._start() if self._is_alone() else self._start_as_successor()):
                await self._became_the_one()
            return await self._stopped
        finally:
            await self._drain()

    def readiness(self) -> Readiness:
        directory = self.directory.stats()
        why_not = None
        if self._stopped.done():
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

    # --- start

    def _bind(self) -> None:
        settings = self._settings
        try:
            self._admin_socket = bind_tcp(settings.admin_listen, replace=self._replace)
        except ListenError as error:
            raise ListenError(error.code, f"NAMEPLATE_ADMIN_LISTEN={error.message}") from error
        self._endpoint.bind()
        self._xds_endpoint.bind()

    async def _start(self) -> bool:
        """Nobody answers, so checks are answered first. False: stopped meanwhile."""
        loaded = await self._until(self._is_loaded, LOAD_AHEAD)
        if loaded:
            await self._answer_checks()
        discovery = await self._make_the_rest()
        self._open_administration()
        if not loaded:
            await self._until(self._is_loaded, LOAD_PATIENCE)
            if not self._stopped.done():
                await self._answer_checks()
        if self._stopped.done():
            return False
        await self._answer_discovery(discovery)
        return True

    async def _start_as_successor(self) -> bool:
        """Another one answers, so nothing is published before everything is ready. False: stopped, or not as fresh."""
        discovery = await self._make_the_rest()
        await self._until(lambda: self._is_as_good() or self._is_alone(), REPLACE_PATIENCE)
        if self._is_alone():  # the other one has died
            await self._until(self._is_loaded, LOAD_PATIENCE)
        elif not self._is_as_good():
            log.error("not_ready", loaded=self._is_loaded(), stale=self.directory.directory.stale)
            self.stop(Stop.NOT_READY)
        if self._stopped.done():
            return False
        await self._answer_checks()
        await self._answer_discovery(discovery)
        self._open_administration()
        return True

    async def _make_the_rest(self) -> Discovery:
        for module in LATE:
            await asyncio.to_thread(import_module, module)  # checks are answered in between
        from sidecar.discovery import Discovery  # noqa: PLC0415

        self.discovery = Discovery(self._settings, self.directory, self.ended)
        for name, part in self.discovery.parts().items():
            self._keep_running(name, part)
        return self.discovery

    def _open_administration(self) -> None:
        from sidecar.admin import Admin, AdminServer  # noqa: PLC0415
        from sidecar.metrics import Metrics  # noqa: PLC0415

        assert self.discovery is not None  # noqa: S101
        assert self._admin_socket is not None  # noqa: S101
        servers = {"checks": self.checks.server, "xds": self.discovery.server}
        metrics = Metrics(self.directory.stats, self.checks.stats, servers, self.discovery.secrets)
        self._admin = AdminServer.of(Admin(self.readiness, metrics.read))
        self._keep(ADMIN, self._admin.serve(sockets=[self._admin_socket]), Stop.ADMIN_ENDED)

    async def _answer_checks(self) -> None:
        self.checks.health.serve()
        await self._endpoint.publish(self.checks.server.protocol)
        log.info(
            "checks_answered",
            address=str(self._endpoint.address),
            names=len(self.directory.directory),
            loaded=self._is_loaded(),
        )

    async def _answer_discovery(self, discovery: Discovery) -> None:
        discovery.health.serve()
        await self._xds_endpoint.publish(discovery.server.protocol)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it came true before the time was over, or the process was stopped."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        # Once, at the start: not worth an event in the directory.
        while not condition():
            if self._stopped.done() or loop.time() >= deadline:
                return False
            await asyncio.sleep(LOAD_PROBE)
        return True

    # --- serve

    async def _became_the_one(self) -> None:
        self._published = True
        self.directory.feed.telling = True
        self._keep("watch", self._watch(), Stop.SOCKET_LOST)
        self._link.ready()
        log.info("sidecar_serving", check_address=str(self._endpoint.address), names=len(self.directory.directory))

    async def _watch(self) -> None:
        """Who answers under our names. Returns when nobody does, and no supervisor can start a successor."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            holders = {self._endpoint.holder(), self._xds_endpoint.holder()} - {None}
            if holders == {Holder.ANOTHER}:
                self.stop(Stop.REPLACED)
            elif Holder.NOBODY in holders:  # Envoys that are connected do not notice, but those that come would
                log.error("socket_lost")
                if not self._link.lost():
                    return
                await asyncio.sleep(LOST_INTERVAL)

    def _keep_running(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(keep_running(name, part), name=name))

    def _keep(self, name: str, part: Coroutine[Any, Any, None], why: Stop) -> None:
        """Its end is ours."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                log.critical("part_failed", part=name, exc_info=task.exception())
            self.stop(why)

        task = asyncio.create_task(part, name=name)
        task.add_done_callback(ended)
        self._tasks.append(task)

    def _is_loaded(self) -> bool:
        return self.directory.directory.loaded

    def _is_as_good(self) -> bool:
        """As the one that answers, which follows the changes."""
        return self._is_loaded() and not self.directory.directory.stale

    def _is_alone(self) -> bool:
        """Nobody answers under the address. (Of a TCP port it cannot be known.)"""
        return not self._replace or self._endpoint.holder() is Holder.NOBODY

    # --- drain

    async def _drain(self) -> None:
        self.stop(Stop.TOLD)  # if it was an exception
        why = self._stopped.result()
        log.info("sidecar_draining", why=why.name.lower())
        if why is Stop.REPLACED:  # what both would use belongs to the other one
            self.directory.feed.telling = False
            self.directory.saver.final = False
            self._close_administration()
        self.checks.health.shut_down()
        if self.discovery is not None:
            self.discovery.health.shut_down()
        await asyncio.gather(self._endpoint.withdraw(), self._xds_endpoint.withdraw())
        await asyncio.gather(
            self.checks.drain(DRAIN_GRACE), *([self.discovery.drain(DRAIN_GRACE)] if self.discovery else [])
        )
        self._close_administration()
        for task in self._tasks:
            if task.get_name() != ADMIN:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.discovery is not None:
            await self.discovery.close()
        log.info("sidecar_ended", why=why.name.lower())

    def _close_administration(self) -> None:
        if self._admin is not None:
            self._admin.should_exit = True
        elif self._admin_socket is not None:
            self._admin_socket.close()


async def keep_running(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run it until cancelled, and again if it ends: what is in memory goes on being served meanwhile."""
    while True:
        try:
            await part()
            log.error("part_ended", part=name)
        except Exception:  # the top of the loop: logged with its traceback, and tried again
            log.exception("part_failed", part=name)
        await asyncio.sleep(RESTART_DELAY)


async def run(settings: SidecarSettings, link: Link, *, replace: bool) -> int:
    """The whole process on the running loop. Returns the exit code. Raises ListenError."""
    sidecar = Sidecar(settings, link, replace=replace)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sidecar.stop, Stop.TOLD)
    link.watch(on_replaced=lambda: sidecar.stop(Stop.REPLACED), on_gone=lambda: sidecar.stop(Stop.TOLD))
    try:
        return EXIT_CODES[await sidecar.run()]
    finally:
        link.close()


def main(*, supervisor: int | None = None, replace: bool = False) -> int:
    """Returns the exit code. `supervisor`: the descriptor of a Link. `replace`: another sidecar has the addresses."""
    harden()
    try:
        settings = read_settings()
        logs.configure("sidecar", settings.log_level)
        with runner() as loop:
            return loop.run(run(settings, Link(supervisor), replace=replace))
    except (SettingsError, ListenError) as error:
        for line in error.message.splitlines():
            print(f"nameplate sidecar: {line}", file=sys.stderr)  # noqa: T201 -- for whoever started it
        return UNUSABLE
