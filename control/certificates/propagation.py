"""Who has seen a change: what the sidecars say on core.feed.SIDECARS_CHANNEL.

Every replica hears every sidecar, so all of them know the same, a heartbeat after they have begun to listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog

from core import trace
from core.feed import SIGHTING_INTERVAL, SIGHTING_LIFETIME, Sighting

# Seconds of listening until every sidecar that lives has said something: a heartbeat, and what may hold it up.
HEARD_ALL = SIGHTING_INTERVAL + 1.0
# Whoever may NOTIFY could make names up; an installation has hundreds of sidecars at most.
MOST_SIDECARS = 10_000
# Seconds for which one that is gone is still known by its name, to operators alone.
REMEMBERED = 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a change has come. `known`: sidecars heard of lately. `seen`: those that have applied it.

    `connected`: Envoys of those sidecars. `reached`: those that have answered all that came of the change, or were not
    concerned; `rejected`: those of them that have not taken the name's certificate.
    `silent`: sidecars that do not say which Envoys they have. `age`: seconds since the sidecar that was silent the
    longest was heard; None: there is none. `heard_all`: there may be no others.
    """

    seen: int
    known: int
    connected: int = 0
    reached: int = 0
    rejected: int = 0
    silent: int = 0
    age: float | None = None
    heard_all: bool = False

    @property
    def acknowledged(self) -> int:
        return self.reached - self.rejected

    @property
    def settled(self) -> bool:
        """There is nobody left to wait for: an Envoy that has rejected it will not take it for being waited for."""
        return self.seen == self.known and self.reached == self.connected

    @property
    def complete(self) -> bool:
        """It is proven to be everywhere: there is somebody who says so, and nobody who does not."""
        return self.settled and self.heard_all and self.known > 0 and self.silent == 0 and self.rejected == 0

    def to_json(self) -> dict[str, Any]:
        """For the audit."""
        return {
            "sidecars": {"live": self.known, "have": self.seen},
            "envoys": {"connected": self.connected, "acknowledged": self.acknowledged, "rejected": self.rejected},
        }


@dataclass(frozen=True, slots=True)
class Heard:
    """What a sidecar said last. `age`: seconds ago."""

    sighting: Sighting
    age: float

    @property
    def live(self) -> bool:
        return self.age <= SIGHTING_LIFETIME


class Propagation:
    """`heard` is the listener's callback; `now` a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._since = now()
        self.is_listening: Callable[[], bool] = lambda: True  # now
        self._sightings: dict[str, tuple[Sighting, float]] = {}
        self._news = asyncio.Event()

    def listening(self) -> None:
        """The listener has connected, perhaps again: who has come meanwhile is not known yet."""
        self._since = self._now()

    def heard(self, payload: str) -> None:
        try:
            sighting = Sighting.from_payload(payload)
        except ValueError:
            log.warning("sighting_unreadable", length=len(payload))
            return
        if sighting.sidecar not in self._sightings and len(self._sightings) >= MOST_SIDECARS:
            self._forget(SIGHTING_LIFETIME)
        if sighting.sidecar in self._sightings or len(self._sightings) < MOST_SIDECARS:
            self._sightings[sighting.sidecar] = (sighting, self._now())
            self._news.set()

    def seen(self, xid: int, hostname: str | None = None) -> Seen:
        """How far the change of transaction `xid` has come. `hostname`: the one whose certificate it may be about."""
        now = self._now()
        live = [pair for pair in self._sightings.values() if pair[1] >= now - SIGHTING_LIFETIME]
        sightings = [sighting for sighting, _ in live]
        reached = [sighting.acknowledged(xid) for sighting in sightings]
        rejected = [0 if hostname is None else sighting.rejected.of(hostname) for sighting in sightings]
        return Seen(
            seen=sum(sighting.has_seen(xid) for sighting in sightings),
            known=len(sightings),
            connected=sum(sighting.connected for sighting in sightings),
            reached=sum(reached),
            rejected=sum(min(pair) for pair in zip(rejected, reached, strict=True)),
            silent=sum(sighting.envoys is None for sighting in sightings),
            age=max((now - heard_at for _, heard_at in live), default=None),
            heard_all=now >= self._since + HEARD_ALL,
        )

    def all_heard(self) -> Sequence[Heard]:
        """Of every sidecar that is alive, or was within the hour, by name."""
        self._forget(REMEMBERED)
        now = self._now()
        return [Heard(sighting, now - heard_at) for _, (sighting, heard_at) in sorted(self._sightings.items())]

    @property
    def listening_for(self) -> float:
        """Seconds; whoever is alive was heard after HEARD_ALL of them."""
        return self._now() - self._since

    def _forget(self, older: float) -> None:
        since = self._now() - older
        self._sightings = {name: pair for name, pair in self._sightings.items() if pair[1] >= since}

    async def applied(self, xid: int, bound: timedelta) -> Seen:
        """By the sidecars, or by as many as there are when the bound is over."""
        seen = await self.wait(xid, bound)
        if seen.seen < seen.known:
            log.warning("sidecars_behind", seen=seen.seen, known=seen.known)
        return seen

    async def acknowledged(self, xid: int, bound: timedelta, hostname: str) -> Seen:
        """By the Envoys too, or by as many as there are when the bound is over."""
        seen = await self.wait(xid, bound, hostname)
        if not seen.settled or seen.rejected:
            log.warning("envoys_behind", hostname=hostname, **seen.to_json()["envoys"])
        return seen

    async def wait(self, xid: int, bound: timedelta, hostname: str | None = None) -> Seen:
        """Return when every sidecar has seen transaction `xid`, or when the bound is over.

        `hostname`: the Envoys are waited for too, which may have to take its certificate. A control process that has
        just started waits one heartbeat before it believes that there is no sidecar.
        """
        with trace.span("sidecars read it" if hostname is None else "envoys acknowledge it") as span:
            seen = await self._wait(xid, bound, hostname)
            span.set(sidecars=seen.known, seen=seen.seen)
            return seen

    async def _wait(self, xid: int, bound: timedelta, hostname: str | None) -> Seen:
        deadline = self._now() + bound.total_seconds()
        while True:
            seen = self.seen(xid, hostname)
            heard_all = seen.known > 0 or self._now() >= self._since + SIGHTING_INTERVAL
            left = deadline - self._now()
            if left <= 0 or (heard_all and (seen.settled if hostname is not None else seen.seen == seen.known)):
                return seen
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, 1.0)):
                    await self._news.wait()
