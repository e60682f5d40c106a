"""Handshakes with names that nobody registered, 1,000 a second or as many as Envoy can do, and what they do to others.

Known names are asked for meanwhile as they were when idle: checks on the check socket, requests on open connections
through Envoy, and handshakes. Counted are the statements that the sidecar ran for names, the reads of Vault, and the
sidecar's memory.

An Envoy that is asked for more than it can do delays everybody without end, so it is first seen how many unknown names
it refuses when it does nothing else (in a closed loop), and the flood is at most FULL_TILT of that. Envoy has the
servers' core; the sidecar may use both.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import asyncpg

from bench.edge import Edge, Server
from bench.envoys import REQUEST_LANE
from bench.ground import Ground
from bench.load.engine import OK
from bench.load.plan import CHECKS, HANDSHAKES, HTTPS, REFUSALS, Plan
from bench.load.tools import generate
from bench.process import cpu_seconds, resident_bytes
from bench.result import Bound, Line, Plot, Report
from bench.rows import add_names, add_served
from bench.scenarios.latency import Latencies, in_milliseconds
from bench.stats import Rounds
from embedded.envoy import Envoy

MEGA, MICRO = 1e-6, 1e6
SERVED = 50
RATE = 1_000
FULL_TILT = 0.7
CAPACITY_DEPTH = 32
CHECKS_A_SECOND, REQUESTS, KNOWN_HANDSHAKES = 500, 200, 50
GIVES_WAY = 10  # the maker of the flood, to those who measure beside it
MEMORY_INTERVAL = 0.25
FLAT = 1.05  # what "flat" means for resident memory: an allocator moves by a few per cent
# The sidecar reads its feed on a timer: those statements are not about names.
STATEMENTS = """
    SELECT coalesce(sum(calls), 0)::bigint
    FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
    WHERE r.rolname = 'nameplate_sidecar' AND d.datname = $1
          AND (query ILIKE '%domains_v1%' OR query ILIKE '%tenants_v1%' OR query ILIKE '%challenges_v1%')
"""


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    rounds: int
    seconds: float


FULL = Size(names=10_000, rounds=3, seconds=6)
QUICK = Size(names=1_000, rounds=1, seconds=0.8)


@dataclass(frozen=True, slots=True)
class Counted:
    statements: int
    reads: int


@dataclass(slots=True)
class Known:
    """What known names saw."""

    checks: Latencies = field(default_factory=Latencies)
    requests: Latencies = field(default_factory=Latencies)
    handshakes: Latencies = field(default_factory=Latencies)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(
        names=size.names, rounds=size.rounds, seconds_a_round=size.seconds, most_unknown_names_a_second=RATE,
        part_of_capacity=FULL_TILT, checks=CHECKS_A_SECOND, requests=REQUESTS, known_handshakes=KNOWN_HANDSHAKES,
    )  # fmt: skip
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, SERVED)
        await add_names(edge.database, SERVED, size.names)
        sidecar = await edge.start_sidecar(anywhere=True)
        envoy, port = await edge.start_envoy("envoy", REQUEST_LANE, sidecar.sockets)
        await generate(_handshakes(port, 1), edge.cores.load)  # every known name once: from now on they are warm
        await _measure(edge, sidecar, envoy, port, size, report)


async def _measure(edge: Edge, sidecar: Server, envoy: Envoy, port: int, size: Size, report: Report) -> None:
    known, spent = Known(), Counted(0, 0)
    refused: list[float] = []
    missed: list[float] = []
    sidecar_cpu: list[float] = []
    envoy_cpu: list[float] = []
    capacity, first = await _capacity(edge, port, size)
    report.figure("capacity", capacity, "handshakes/s", "unknown names refused in a closed loop, nothing else going on")
    rate = min(RATE, capacity * FULL_TILT)
    memory = asyncio.create_task(_watch(sidecar))
    for _ in range(size.rounds):
        await _others(edge, sidecar, port, size.seconds, "idle", known)
        before, burnt, envoy_burnt = await _counted(edge), cpu_seconds(sidecar.pid), cpu_seconds(envoy.pid)
        flood = Plan(
            kind=REFUSALS, port=port, first=first, rate=rate, seconds=size.seconds, niceness=GIVES_WAY,
        )  # fmt: skip
        samples, _ = await asyncio.gather(
            generate(flood, edge.cores.load), _others(edge, sidecar, port, size.seconds, "flood", known)
        )
        count = sum(samples.outcomes.values())
        first += count
        sidecar_cpu.append((cpu_seconds(sidecar.pid) - burnt) / count * MICRO)
        envoy_cpu.append((cpu_seconds(envoy.pid) - envoy_burnt) / count * MICRO)
        after = await _counted(edge)
        spent = Counted(
            spent.statements + after.statements - before.statements, spent.reads + after.reads - before.reads
        )
        refused.append(samples.outcomes.get(OK, 0) / samples.seconds)
        missed.append(count - samples.outcomes.get(OK, 0))
    memory.cancel()
    report.figure("refused", refused, "handshakes/s", f"unknown names refused with an alert; asked for at {rate:.0f}/s")
    report.figure("not_refused", missed, "handshakes", "unknown names that ended otherwise, in a round")
    report.figure("sidecar_cpu", sidecar_cpu, "µs", "CPU of the sidecar meanwhile, all it did, over unknown names")
    report.figure("envoy_cpu", envoy_cpu, "µs", "CPU of Envoy meanwhile, all it did, over unknown names")
    _report(report, known, spent, tuple(await memory))


async def _capacity(edge: Edge, port: int, size: Size) -> tuple[float, int]:
    """Refusals a second, and the first unknown name that has not been asked for yet."""
    samples = await generate(
        Plan(kind=REFUSALS, port=port, depth=CAPACITY_DEPTH, seconds=size.seconds / 4), edge.cores.load
    )
    return samples.outcomes.get(OK, 0) / samples.seconds, sum(samples.outcomes.values())


async def _others(edge: Edge, sidecar: Server, port: int, seconds: float, name: str, known: Known) -> None:
    checks = Plan(kind=CHECKS, socket=str(sidecar.check_socket), names=SERVED, rate=CHECKS_A_SECOND, seconds=seconds)
    requests = Plan(kind=HTTPS, port=port, names=SERVED, connections=SERVED, rate=REQUESTS, seconds=seconds)
    plans = (checks, requests, _handshakes(port, seconds))
    found = await asyncio.gather(*(generate(plan, edge.cores.load) for plan in plans))
    for latencies, samples in zip((known.checks, known.requests, known.handshakes), found, strict=True):
        latencies.add(name, samples)


def _handshakes(port: int, seconds: float) -> Plan:
    return Plan(kind=HANDSHAKES, port=port, names=SERVED, rate=KNOWN_HANDSHAKES, seconds=seconds)


async def _watch(sidecar: Server) -> list[tuple[float, float]]:
    """(seconds, MB) until it is cancelled."""
    points: list[tuple[float, float]] = []
    started = time.monotonic()
    try:
        while True:
            points.append((time.monotonic() - started, resident_bytes(sidecar.pid) * MEGA))
            await asyncio.sleep(MEMORY_INTERVAL)
    except asyncio.CancelledError:
        return points


async def _counted(edge: Edge) -> Counted:
    connection = await asyncpg.connect(edge.database.postgres.dsn())
    try:
        statements = await connection.fetchval(STATEMENTS, edge.database.name)
    finally:
        await connection.close()
    return Counted(statements, await edge.mount.read_count())


def _report(report: Report, known: Known, spent: Counted, memory: tuple[tuple[float, float], ...]) -> None:
    report.figure("statements", spent.statements, "statements", "of the sidecar about names, during all floods")
    report.figure("vault_reads", spent.reads, "reads", "during all floods")
    ratios: dict[str, Rounds] = {}
    for what, latencies, meaning in (
        ("checks", known.checks, "checks of known names on the check socket"),
        ("requests", known.requests, "requests for known names through Envoy"),
        ("handshakes", known.handshakes, "handshakes of known names with Envoy"),
    ):
        latencies.report(report, what, f"{meaning}, open loop")
        p99 = {name: latencies.each(name, 99) for name in ("idle", "flood")}
        for name, value in p99.items():
            report.figure(f"{what}.p99.{name}", in_milliseconds(value), "ms", meaning)
        ratios[what] = report.figure(
            f"{what}.p99.ratio", p99["flood"].over(p99["idle"]), "x", "during the flood, over idle"
        )
    growth = memory[-1][1] / memory[len(memory) // 4][1]
    report.figure("memory.growth", growth, "x", "resident memory at the end, over that after the first quarter")
    report.figure("memory.end", memory[-1][1], "MB", "resident memory of the sidecar")
    report.goal("statements about names during the flood", float(spent.statements), "statements", Bound.AT_MOST, 0)
    report.goal("Vault reads during the flood", float(spent.reads), "reads", Bound.AT_MOST, 0)
    report.goal("checks of known names, p99, of idle", ratios["checks"], "x", Bound.AT_MOST, 1.5)
    report.goal("handshakes of known names, p99, of idle", ratios["handshakes"], "x", Bound.AT_MOST, 1.5)
    report.goal("sidecar memory, end over first quarter", growth, "x", Bound.AT_MOST, FLAT)
    report.plots.append(
        Plot("memory", "resident memory of the sidecar", "lines", (Line("sidecar", memory),), "seconds", "MB")
    )
