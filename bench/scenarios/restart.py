"""A sidecar that is replaced, told to end, or killed, while Envoy asks it about every request.

Planned: SIGHUP to `nameplate sidecar`, again and again, while all connections ask as fast as they are answered (a
closed loop: the servers' core is full). Killed: SIGKILL of the process that answers, whose supervisor starts another;
and told to end: SIGTERM, and started again; both in an open loop. A prober connects to the check socket all the while,
so that it is known when it was gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import Edge, Server
from bench.envoys import REQUEST_LANE
from bench.ground import Ground
from bench.load.engine import OK, Samples
from bench.load.plan import HTTPS, Plan
from bench.load.tools import generate
from bench.result import Bound, Line, Plot, Report
from bench.rows import add_names, add_served
from bench.scenarios.latency import MILLI, Latencies

SERVED = 32
PROBE = 0.005
PATIENCE = 60.0
LONGEST = 120.0  # seconds for all requests
BETWEEN = 1.0  # seconds from one replacement to the next
STEP = 0.1  # of the plot, in seconds


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    requests: int  # during the planned replacements
    rate: float
    seconds: float  # of the load during an end or a kill


FULL = Size(names=10_000, requests=100_000, rate=1_000, seconds=6)
QUICK = Size(names=1_000, requests=2_000, rate=300, seconds=1)


@dataclass(slots=True)
class Gap:
    """When the socket did not take connections, by the monotonic clock; `seconds` in all."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(until - since for since, until in self.spans)

    def touches(self, since: float, until: float) -> bool:
        return any(since <= end and start <= until for start, end in self.spans)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(
        names=size.names, requests=size.requests, rate=size.rate, connections=SERVED, seconds=size.seconds
    )
    latencies = Latencies()
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, SERVED)
        await add_names(edge.database, SERVED, size.names)
        server = await edge.start_supervised()
        _, port = await edge.start_envoy("envoy", REQUEST_LANE, server.sockets)
        await _planned(edge, server, port, size, report, latencies)
        await _killed(edge, server, port, size, report, latencies)
        await _ended(edge, server, port, size, report, latencies)
    latencies.report(report, "requests", f"requests through Envoy: planned in a closed loop, else {size.rate:g}/s")


async def _planned(edge: Edge, server: Server, port: int, size: Size, report: Report, latencies: Latencies) -> None:
    replacements: list[float] = []

    async def replace_again(load: asyncio.Task[Samples]) -> None:
        while not load.done():
            replacements.append(await server.replace())
            await asyncio.sleep(BETWEEN)

    plan = Plan(
        kind=HTTPS, port=port, names=SERVED, connections=SERVED, depth=SERVED, limit=size.requests, seconds=LONGEST
    )
    samples, gap = await _under_load(edge, server, plan, replace_again)
    latencies.add("planned", samples)
    failed = _failed(samples)
    report.figure("planned.requests", sum(samples.outcomes.values()), "requests", "during the replacements")
    report.figure("planned.replacements", len(replacements), "replacements", "SIGHUP, one after the other")
    report.figure("planned.seconds", replacements, "s", "from SIGHUP to the end of the process that was replaced")
    report.figure("planned.failed", failed, "requests", "requests through Envoy that were not answered 200")
    report.figure("planned.gap", gap.seconds, "s", "the check socket took no connections")
    report.goal(f"planned: failed requests of {size.requests:,}", float(failed), "requests", Bound.AT_MOST, 0)
    report.plots.append(_over_time("planned", "slowest request during planned replacements", samples))


async def _killed(edge: Edge, server: Server, port: int, size: Size, report: Report, latencies: Latencies) -> None:
    async def kill(_load: asyncio.Task[Samples]) -> None:
        await asyncio.sleep(size.seconds / 3)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)

    samples, gap = await _under_load(edge, server, _steady(port, size), kill)
    latencies.add("killed", samples)
    failed = _failed(samples)
    outside = sum(not gap.touches(samples.started + since, samples.started + until) for since, until in samples.failed)
    report.figure("killed.failed", failed, "requests", "requests that were not answered 200")
    report.figure("killed.gap", gap.seconds, "s", "from the kill, the check socket took no connections")
    report.figure("killed.failed_outside", outside, "requests", "failed, and not under way while the socket was gone")
    report.goal("SIGKILL: failed requests while the socket was there", float(outside), "requests", Bound.AT_MOST, 0)
    report.plots.append(_over_time("killed", "slowest request around a SIGKILL", samples))


async def _ended(edge: Edge, server: Server, port: int, size: Size, report: Report, latencies: Latencies) -> None:
    async def end_and_start(_load: asyncio.Task[Samples]) -> None:
        await asyncio.sleep(size.seconds / 3)
        await server.process.stop(PATIENCE)
        await edge.start_supervised()

    samples, gap = await _under_load(edge, server, _steady(port, size), end_and_start)
    latencies.add("ended", samples)
    report.figure("ended.failed", _failed(samples), "requests", "SIGTERM and started again: not answered 200")
    report.figure("ended.gap", gap.seconds, "s", "SIGTERM and started again: the check socket took no connections")


def _steady(port: int, size: Size) -> Plan:
    return Plan(kind=HTTPS, port=port, names=SERVED, connections=SERVED, rate=size.rate, seconds=size.seconds)


async def _under_load(
    edge: Edge, server: Server, plan: Plan, meanwhile: Callable[[asyncio.Task[Samples]], Awaitable[None]]
) -> tuple[Samples, Gap]:
    gap = Gap()
    probe = asyncio.create_task(_probe(server.check_socket, gap))
    load = asyncio.create_task(generate(plan, edge.cores.load))
    try:
        await meanwhile(load)
        return await load, gap
    finally:
        load.cancel()
        probe.cancel()
        await asyncio.gather(load, probe, return_exceptions=True)


async def _probe(path: Path, gap: Gap) -> None:
    """Until cancelled. A gap begins when the socket was last seen to be there."""
    gone_since: float | None = None
    seen = time.monotonic()
    try:
        while True:
            if not _connects(path):
                gone_since = gone_since or seen
            else:
                seen = time.monotonic()
                if gone_since is not None:
                    gap.spans.append((gone_since, seen))
                    gone_since = None
            await asyncio.sleep(PROBE)
    finally:
        if gone_since is not None:
            gap.spans.append((gone_since, time.monotonic()))


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        with suppress(BlockingIOError):  # its backlog is full: it is there
            try:
                probe.connect(str(path))
            except (ConnectionRefusedError, FileNotFoundError):
                return False
    return True


def _failed(samples: Samples) -> int:
    return sum(count for outcome, count in samples.outcomes.items() if outcome != OK)


def _over_time(name: str, title: str, samples: Samples) -> Plot:
    slowest: dict[int, float] = {}
    for at, latency in zip(samples.at, samples.latency, strict=True):
        step = int(at / STEP)
        slowest[step] = max(slowest.get(step, 0.0), latency * MILLI)
    points: Sequence[tuple[float, float]] = [(step * STEP, value) for step, value in sorted(slowest.items())]
    return Plot(name, title, "lines", (Line("slowest in 0.1 s", tuple(points)),), "seconds", "ms", log_y=True)
