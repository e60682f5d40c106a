"""When Envoy's configuration is built: as the edge changes, and for all streams at once.

A change is built at once; of a burst, one in SPACING. It is built on a thread, so that checks are answered meanwhile,
and Envoy's messages are imported there too: 1.2 s of processor time, once.

Clusters come at once and leave late: an answer that is under way may still name one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from sidecar.edge.model import Edge
from sidecar.xds.configurations import ConfigurationTable, Encoded
from sidecar.xds.resources.plan import ListenerPlan
from sidecar.xds.types import CLUSTER, LISTENER

if TYPE_CHECKING:
    from sidecar.xds.resources.build import Builder, Built

# Seconds. Each version of the https listener costs Envoy a quarter of a millisecond of its main thread for each chain
# of a domain's own: it is given five times as long, but not longer than choices of a service wait
# (sidecar.edge.routing).
SPACING: Final = 0.2
SPACING_CHAIN: Final = 0.00125
LONGEST_SPACING: Final = 1.5
# Names below wildcards that cost as much as a chain.
NAMES_A_CHAIN: Final = 16
# Seconds that a cluster stays after its service is gone: above what a check may take (envoy/static.yaml), and what the
# checks' own view may lag behind.
LINGER: Final = 3.0
# Builds that are thrown away because the edge has changed meanwhile, before one is shown all the same.
PATIENCE: Final = 5

log = structlog.stdlib.get_logger(__name__)


class Edges(Protocol):
    """sidecar.edge.table.EdgeTable"""

    @property
    def current(self) -> Edge | None: ...

    def subscribe(self, on_change: Callable[[Edge | None, Edge], None], /) -> None: ...


class Resources:
    """To be made on the loop. Nothing is shown before the edge is known: Envoy would delete what it has.

    `linger`: seconds that a cluster stays after its service is gone. `settled`: the first attempt to build is over.
    """

    def __init__(self, plan: ListenerPlan, edges: Edges, table: ConfigurationTable, *, linger: float = LINGER) -> None:
        self._plan = plan
        self._edges = edges
        self._table = table
        self._linger = linger
        self._clock = asyncio.get_running_loop().time
        self._builder: Builder | None = None
        self._shown: Edge | None = None
        self._clusters: Mapping[str, Encoded] = {}
        self._leaving: dict[str, tuple[Encoded, float]] = {}  # with the time at which it leaves
        self._changed = asyncio.Event()
        self.settled = False
        self.left_out: Mapping[tuple[str, str], str] = {}
        self.builds = 0
        self.seconds = 0.0
        edges.subscribe(self._on_edge)
        if edges.current is not None:
            self._on_edge(None, edges.current)

    @property
    def pending(self) -> bool:
        """Whether the edge is another one than what is shown was built of."""
        return self._edges.current is not self._shown

    @property
    def leaving(self) -> Collection[str]:
        """Clusters whose service is gone."""
        return self._leaving.keys()

    def stats(self) -> Mapping[str, float]:
        return {"builds": self.builds, "build_seconds": self.seconds}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if await self._wait():
                before = self._listeners
                await self._show()
                is_same = self._listeners == before
                await asyncio.sleep(spacing(0 if is_same else _chains(self._shown)))
            else:
                self._table.replace({CLUSTER: self._with_those_that_leave()})

    @property
    def _listeners(self) -> Mapping[str, Encoded] | None:
        return self._table.resources(LISTENER)

    def _on_edge(self, _before: Edge | None, _edge: Edge) -> None:
        self._table.hold()
        self._changed.set()

    async def _wait(self) -> bool:
        """Until the edge has changed, or, False, until a cluster's time is over."""
        try:
            async with asyncio.timeout_at(min((leaves for _, leaves in self._leaving.values()), default=None)):
                await self._changed.wait()
        except TimeoutError:
            if not self._changed.is_set():
                return False
        self._changed.clear()
        return True

    async def _show(self) -> None:
        """Raises what a mistake of ours raises; what is shown stays, and `run` tries again when it is started again."""
        for chance in reversed(range(PATIENCE)):
            edge = self._edges.current
            if edge is None:
                return
            try:
                built = await asyncio.to_thread(self._build, edge)
            except BaseException:
                self._changed.set()
                raise
            finally:
                self.settled = True
            if edge is self._edges.current or not chance:
                self._replace(edge, built)
                break
        if self.pending:
            self._table.hold()

    def _replace(self, edge: Edge, built: Built) -> None:
        self._log(built.left_out)
        self.left_out = built.left_out
        self._shown = edge
        clusters = built.resources[CLUSTER]
        leaves = self._clock() + self._linger
        gone = {name: (encoded, leaves) for name, encoded in self._clusters.items() if name not in clusters}
        self._leaving = {name: leaving for name, leaving in self._leaving.items() if name not in clusters} | gone
        self._clusters = clusters
        self._table.replace({**built.resources, CLUSTER: self._with_those_that_leave()})

    def _with_those_that_leave(self) -> Mapping[str, Encoded]:
        now = self._clock()
        self._leaving = {name: leaving for name, leaving in self._leaving.items() if leaving[1] > now}
        return {**self._clusters, **{name: encoded for name, (encoded, _) in self._leaving.items()}}

    def _build(self, edge: Edge) -> Built:
        from sidecar.xds.resources.build import Builder  # noqa: PLC0415 -- late: see above

        started = time.thread_time()
        if self._builder is None:
            self._builder = Builder(self._plan)
        built = self._builder.build(edge)
        self.builds += 1
        self.seconds += time.thread_time() - started
        return built

    def _log(self, left_out: Mapping[tuple[str, str], str]) -> None:
        """Each once, until it is another reason."""
        for row, reason in left_out.items():
            if self.left_out.get(row) != reason:
                log.error("left_out_of_envoy", kind=row[0], name=row[1], reason=reason)


def _chains(edge: Edge | None) -> float:
    """What a version of the https listener costs, in chains of domains' own."""
    if edge is None:
        return 0
    return len(edge.client_auth) + sum(map(len, edge.below.values())) / NAMES_A_CHAIN


def spacing(chains: float) -> float:
    """Seconds to the next version of the listeners. `chains`: of domains' own in this one; 0: it is the same again."""
    return min(LONGEST_SPACING, max(SPACING, chains * SPACING_CHAIN))
