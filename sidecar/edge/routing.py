"""The edge as checks are told of it: a choice of a new service counts once every Envoy can route to it.

A check names a cluster the moment that it is asked, and Envoy hears of a new cluster later, by another way; in between,
requests would be answered 503. So a choice of a service that was not there before waits until the cluster was
acknowledged by all who take clusters from here, and for what it then has to get before it is used (an address, a
certificate, a first health check). Till then requests go where they went before. All else of the edge counts at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from core.service import Service
from sidecar.edge.model import Edge, cluster_of
from sidecar.edge.table import EdgeTable, OnChange

# Seconds until a choice counts though an Envoy has not acknowledged the cluster: it may be one that never will.
PATIENCE: Final = 2.0
# After the acknowledgement: until Envoy's workers know it, and until a cluster that has to get something first has it.
SPREADING: Final = 0.1
WARMING: Final = 0.5
# How often it is looked whether it was acknowledged, while something waits.
LOOK: Final = 0.02

log = structlog.stdlib.get_logger(__name__)


class Envoys(Protocol):
    def lacks_cluster(self, name: str) -> bool:
        """Whether somebody who takes clusters from here has not acknowledged this one."""
        ...


@dataclass(slots=True)
class Awaited:
    """A service that was not there before. `until`: when it counts at the latest; `ready_at`: when, as it looks."""

    until: float
    ready_at: float | None = None


class Routing:
    """`envoys`: None as long as nobody can be connected; then nothing waits. `clock`: monotonic seconds."""

    def __init__(self, table: EdgeTable, clock: Callable[[], float] = time.monotonic) -> None:
        self.envoys: Envoys | None = None
        self.current = table.current
        self._table = table
        self._clock = clock
        self._awaited: dict[str, Awaited] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._on_change: list[OnChange] = []
        table.subscribe(self._changed)

    def subscribe(self, on_change: OnChange) -> None:
        """As of the table itself."""
        self._on_change.append(on_change)

    @property
    def waiting(self) -> frozenset[str]:
        """Services that do not count yet."""
        return frozenset(self._awaited)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self, before: Edge | None, now: Edge) -> None:
        for name in self._awaited.keys() - now.services.keys():
            del self._awaited[name]
        if before is not None and self.envoys is not None:
            until = self._clock() + PATIENCE
            for name in now.services.keys() - before.services.keys():
                self._awaited[name] = Awaited(until)
        self._show(now)
        if self._awaited and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._timer = None
        edge = self._table.current
        if edge is None:
            return
        ready = [name for name, awaited in self._awaited.items() if self._is_ready(edge.services[name], awaited)]
        for name in ready:
            del self._awaited[name]
        if ready:
            self._show(edge)
        if self._awaited:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _show(self, edge: Edge) -> None:
        """All of it, but for choices of what does not count yet."""
        before = self.current
        self._replace(edge if before is None or not self._awaited else effective(before, edge, self._awaited))

    def _is_ready(self, service: Service, awaited: Awaited) -> bool:
        now = self._clock()
        if self.envoys is None or now >= awaited.until:
            return True
        if self.envoys.lacks_cluster(cluster_of(service.name)):
            awaited.ready_at = None
            return False
        if awaited.ready_at is None:
            awaited.ready_at = now + (WARMING if warms(service) else SPREADING)
        return now >= awaited.ready_at

    def _replace(self, edge: Edge) -> None:
        before = self.current
        if edge is before or edge == before:
            return
        self.current = edge
        for on_change in self._on_change:
            try:
                on_change(before, edge)
            except Exception:  # the top of what a consumer does
                log.exception("on_edge_change_failed")


def warms(service: Service) -> bool:
    """Whether Envoy must get something before it uses a cluster of it."""
    return not service.is_static or service.health_check is not None or service.tls is not None


def effective(before: Edge, now: Edge, awaited: Mapping[str, object]) -> Edge:
    """`now`, but whoever is sent to an awaited service by it goes where `before` says.

    That service may be gone with the same change: its cluster stays for as long (sidecar.xds.resources.resources).
    """
    return replace(
        now,
        by_tenant=_choices(before.by_tenant, now.by_tenant, awaited),
        by_domain=_choices(before.by_domain, now.by_domain, awaited),
    )


def _choices(before: Mapping[str, str], now: Mapping[str, str], awaited: Mapping[str, object]) -> Mapping[str, str]:
    held = {who: before.get(who) for who, service in now.items() if service in awaited}
    if not held:
        return now
    choices = dict(now)
    for who, service in held.items():
        if service is None:
            del choices[who]  # to what it was by default
        else:
            choices[who] = service
    return choices
