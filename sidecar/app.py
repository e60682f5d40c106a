"""The sidecar: its parts put together, started in order, and ended in order. (The process: sidecar.process.)

 start     addresses · the directory (snapshot, then PostgreSQL) · checks answered ·
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
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from core.trace import NOTHING, Tracer
from sidecar.administration import Administration
from sidecar.checks import Checks
from sidecar.directory.service import DirectoryService
from sidecar.garbage import leave_alone
from sidecar.listen import Endpoint
from sidecar.parts import Parts
from sidecar.readiness import Readiness
from sidecar.settings import SidecarSettings
from sidecar.socket_path import Holder
from sidecar.stop import Stop
from sidecar.supervisor.link import Link
from sidecar.xds.ended import EndedRegistrations

if TYPE_CHECKING:
    from sidecar.discovery import Discovery

# A third of all modules, which no check needs.
LATE = ("sidecar.discovery", "sidecar.admin", "sidecar.inspection", "sidecar.authz.client_examination")

# Seconds. While the directory is read, checks are first in line for the processor; if it takes longer, who looks after
# the process is told that it is alive.
LOAD_AHEAD = 0.5
# Until the directory is loaded, names are loaded one by one, so that answering late is the worse of the two …
LOAD_PATIENCE = 5.0
# … unless another sidecar answers, which has read every change. It goes on if its successor has not done so either.
REPLACE_PATIENCE = 60.0
LOAD_PROBE = 0.01
# The first build of Envoy's configuration, 1.2 s of processor time, while the other one goes on answering.
BUILD_PATIENCE = 10.0
# The other one goes on answering until it is noticed, so it need not be soon.
WATCH_INTERVAL = 0.25
# A successor that could not start in that time may the next time.
LOST_INTERVAL = 10.0
# Calls under way take at most authz's LOAD_DEADLINE; a longer one is stuck.
DRAIN_GRACE = 2.0
# For the last spans.
TRACES_DRAIN = 1.0

ADMIN = "administration"

log = structlog.stdlib.get_logger(__name__)


class Sidecar:
    """Everything that is alive in one process. `run` may be called once, on the loop that it was made on.

    `replace`: another sidecar has the addresses, and goes on until this one is ready.
    """

    def __init__(self, settings: SidecarSettings, link: Link, *, replace: bool) -> None:
        self._settings = settings
        self._link = link
        self._replace = replace
        self.directory = DirectoryService(
            settings.database(),
            platform_domain=settings.platform_domain,
            sidecar=settings.sidecar_id,
            state_dir=settings.state_dir,
            capacity=settings.directory_capacity,
            misses_per_second=settings.misses_per_second,
            listen=settings.listen_database(),
        )
        # Control counts on what was told under our name for as long as we answer under our addresses, no longer.
        # From the first word on: the feed says once a connection what has ended lately.
        self.ended = EndedRegistrations()
        self.directory.feed.subscribe_ended(self.ended.add)
        self.directory.feed.telling = False
        self.checks = Checks(self.directory)
        self._endpoint = Endpoint(settings.check_address, settings.tls(), replace=replace)
        self._xds_endpoint = Endpoint(settings.xds_address, settings.tls(), replace=replace)
        self._administration = Administration(settings.admin_listen, replace=replace)
        self.discovery: Discovery | None = None
        self._tracer: Tracer = NOTHING
        self._parts = Parts()
        self._stopped: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._published = False

    def stop(self, why: Stop) -> None:
        """The first reason is the one that counts."""
        if not self._stopped.done():
            self._stopped.set_result(why)

    async def run(self) -> Stop:
        """Answer until stopped. Raises ListenError, with nothing left behind."""
        try:
            for each in (self._administration, self._endpoint, self._xds_endpoint):
                each.bind()
            self._parts.keep_running("directory", self.directory.run)
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
        elif self.directory.edge.current is None:
            why_not = "the edge is not loaded"
        elif not self._is_configured():
            why_not = "Envoy's configuration is not built"
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
        await self._until(self._is_configured, BUILD_PATIENCE)
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
        await self._trace(self.discovery)
        self.checks.routing.envoys = self.discovery.secrets.envoys
        for name, part in self.discovery.parts().items():
            self._parts.keep_running(name, part)
        return self.discovery

    async def _trace(self, discovery: Discovery) -> None:
        """If an endpoint is set: in a thread, as the library takes 0.3 s to be imported."""
        self._tracer = await asyncio.to_thread(self._settings.tracer, "nameplate-sidecar", self._settings.sidecar_id)
        if self._tracer is not NOTHING:
            from sidecar.traces import Traces  # noqa: PLC0415

            traces = Traces(self._tracer, self._settings.sidecar_id)
            self.directory.feed.intake.traces = traces
            discovery.certificates.fetching = traces.fetching

    def _open_administration(self) -> None:
        from sidecar.inspection import Inspection  # noqa: PLC0415

        assert self.discovery is not None  # noqa: S101
        inspection = Inspection(self._settings.sidecar_id, self.directory, self.checks, self.discovery, self.readiness)
        self._parts.keep_running("questions", inspection.questions.run)
        self._parts.keep(ADMIN, self._administration.serve(inspection.admin), lambda: self.stop(Stop.ADMIN_ENDED))

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
        self._parts.keep("watch", self._watch(), lambda: self.stop(Stop.SOCKET_LOST))
        leave_alone()
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

    def _is_loaded(self) -> bool:
        return self.directory.directory.loaded and self.directory.edge.current is not None

    def _is_configured(self) -> bool:
        """Whether an Envoy that connects would be given what it is to do."""
        return self.discovery is not None and self.discovery.resources.settled

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
            self._administration.close()
        self.checks.health.shut_down()
        if self.discovery is not None:
            self.discovery.health.shut_down()
        await asyncio.gather(self._endpoint.withdraw(), self._xds_endpoint.withdraw())
        await asyncio.gather(
            self.checks.drain(DRAIN_GRACE), *([self.discovery.drain(DRAIN_GRACE)] if self.discovery else [])
        )
        self._administration.close()
        await self._parts.end(lasting=ADMIN)
        if self.discovery is not None:
            await self.discovery.close()
        if self._tracer is not NOTHING:
            await asyncio.to_thread(self._tracer.close, TRACES_DRAIN)
        log.info("sidecar_ended", why=why.name.lower())
