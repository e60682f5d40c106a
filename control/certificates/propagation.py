"""Who has seen a change: what the sidecars say on core.feed.SIDECARS_CHANNEL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import structlog

from core.feed import SIGHTING_INTERVAL, SIGHTING_LIFETIME, Sighting

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """`known`: sidecars heard of lately. `seen`: those among them that have applied the change."""

    seen: int
    known: int


class Propagation:
    """`heard` is the listener's callback; `now` a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._since = now()
        self._sightings: dict[str, tuple[Sighting, float]] = {}
        self._news = asyncio.Event()

    def heard(self, payload: str) -> None:
        try:
            sighting = Sighting.from_payload(payload)
        except ValueError:
            log.warning("sighting_unreadable", length=len(payload))
            return
        self._sightings[sighting.sidecar] = (sighting, self._now())
        self._news.set()

    def seen(self, xid: int) -> Seen:
        """How far the change of transaction `xid` has come."""
        horizon = self._now() - SIGHTING_LIFETIME
        self._sightings = {name: pair for name, pair in self._sightings.items() if pair[1] >= horizon}
        have = sum(sighting.has_seen(xid) for sighting, _ in self._sightings.values())
        return Seen(have, len(self._sightings))

    async def wait(self, xid: int, bound: timedelta) -> Seen:
        """Return when every sidecar has seen transaction `xid`, or when the bound is over.

        A control process that has just started waits one heartbeat before it believes that there is no sidecar.
        """
        deadline = self._now() + bound.total_seconds()
        while True:
            seen = self.seen(xid)
            settled = seen.known > 0 or self._now() >= self._since + SIGHTING_INTERVAL
            left = deadline - self._now()
            if left <= 0 or (settled and seen.seen == seen.known):
                return seen
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, 1.0)):
                    await self._news.wait()
