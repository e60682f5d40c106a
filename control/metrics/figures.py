"""Figures that only PostgreSQL knows: read by each replica from time to time, shown at each scrape with their age.

A scrape never waits for a query. What is long to read is read so rarely that reading takes no more than a hundredth of
the time, however many domains there are. All replicas show the same, so whoever adds them up counts twice: take `max`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from control.db.away import AWAY
from core.families import gauge

EVERY = 15.0  # seconds, with jitter; a scrape interval
SHARE = 0.01  # of the time, that a reading may take
FAILED_SHARE = 0.1  # of one that failed: PostgreSQL has come back, or it takes longer than it may

Reading: TypeAlias = Callable[[], Awaitable[Sequence[Metric]]]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Shown:
    """`at`, `due`: by the clock. `seconds`: that the last reading took."""

    families: Sequence[Metric] = ()
    at: float = -math.inf
    due: float = -math.inf
    seconds: float = 0.0


class Figures(Collector):
    """`readings`: by what they are of. `clock`: monotonic seconds. A reading raises asyncpg's errors."""

    def __init__(
        self, readings: Mapping[str, Reading], every: float = EVERY, clock: Callable[[], float] = monotonic
    ) -> None:
        self._readings = readings
        self._every = every
        self._clock = clock
        self._shown = {name: _Shown() for name in readings}

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            await self.round()
            await asyncio.sleep(self._every * random.uniform(0.8, 1.2))  # noqa: S311 -- jitter

    async def round(self) -> None:
        """Read what is due. What cannot be read stays as it was, and grows old."""
        for name, reading in self._readings.items():
            shown = self._shown[name]
            started = self._clock()
            if started < shown.due:
                continue
            try:
                families = await reading()
            except AWAY as error:
                shown.due = started + (self._clock() - started) / FAILED_SHARE
                log.warning("figures_unreadable", of=name, error=type(error).__name__)
                continue
            now = self._clock()
            self._shown[name] = _Shown(families, now, started + (now - started) / SHARE, now - started)

    def collect(self) -> Iterator[Metric]:
        now = self._clock()
        known = {name: shown for name, shown in self._shown.items() if shown.families}
        for shown in known.values():
            yield from shown.families
        age = "Since the figures were read from PostgreSQL."
        yield gauge("figures_age_seconds", age, {name: now - one.at for name, one in known.items()}, "of")
        took = "What it took to read the figures from PostgreSQL."
        yield gauge("figures_read_seconds", took, {name: one.seconds for name, one in known.items()}, "of")
