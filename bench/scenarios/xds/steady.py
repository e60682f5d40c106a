"""Nothing fails while things change: requests under way all the time, on connections that stay open and on new ones.

An open loop, so that what is due while something stands still counts as well. An event begins when both kinds of
requests are under way, and a while later they end. A failed request is one that was not answered 200; a connection that
the server says is to be closed is made again, as a browser does.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import Edge, Server
from bench.load.engine import OK
from bench.load.plan import HTTPS, VISITS, Plan
from bench.load.tools import Generator
from bench.result import Bound, Report
from bench.scenarios.latency import Latencies

LONGEST = 300.0
AFTERWARDS = 0.5  # seconds of requests when an event is over
KEPT, NEW = "kept", "new"
MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Rates:
    """A second."""

    kept: float  # requests, on connections that stay open
    new: float  # connections with a request each


@dataclass(slots=True)
class Event:
    """`words`: what happened."""

    words: str
    requests: int = 0
    failed: int = 0


@dataclass(slots=True)
class Traffic:
    """For the served names from 0 on, each a connection that stays open, and in turn the new ones."""

    edge: Edge
    sidecar: Server
    names: int
    rates: Rates
    access_log: Path
    latencies: Latencies = field(default_factory=Latencies)
    _events: dict[str, Event] = field(default_factory=dict)

    @asynccontextmanager
    async def during(self, name: str, words: str) -> AsyncIterator[None]:
        """Requests from before the block begins until after it has ended."""
        port = self.sidecar.ports.https
        plans = {
            KEPT: Plan(
                kind=HTTPS, port=port, names=self.names, connections=self.names, rate=self.rates.kept, seconds=LONGEST
            ),
            NEW: Plan(kind=VISITS, port=port, names=self.names, rate=self.rates.new, seconds=LONGEST),
        }
        event = self._events[name] = Event(words)
        generators: dict[str, Generator] = {}
        try:
            for kind, plan in plans.items():
                generators[kind] = await Generator.start(plan, self.edge.cores.load)
            yield
            await asyncio.sleep(AFTERWARDS)
            for kind, generator in generators.items():
                samples = await generator.stop()
                self.latencies.add(f"{name}.{kind}", samples)
                count = sum(samples.outcomes.values())
                event.requests += count
                event.failed += count - samples.outcomes.get(OK, 0)
        finally:
            for generator in generators.values():
                await generator.kill()

    def report(self, report: Report) -> None:
        self.latencies.report(report, "steady", "requests through Envoy while things change, open loop")
        for name, event in self._events.items():
            report.figure(f"steady.requests.{name}", event.requests, "requests", f"under way during {event.words}")
            report.goal(
                f"failed requests of {event.requests:,} during {event.words}",
                float(event.failed),
                "requests",
                Bound.AT_MOST,
                0,
            )
        for (status, flags, why), count in self._refusals().most_common(MOST_SHOWN):
            report.notes.append(f"Envoy's log: {count} answers {status}, flags {flags}: {why}")

    def _refusals(self) -> Counter[tuple[int, str, str]]:
        """What Envoy logged that was not 200 (a client without a certificate is seen to be refused, too)."""
        with self.access_log.open() as log:
            lines = [json.loads(line) for line in log]
        return Counter((line["status"], line["flags"], line["why"]) for line in lines if str(line["status"]) != "200")
