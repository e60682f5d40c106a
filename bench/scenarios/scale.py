"""What grows with the number of domains, from a thousand to a million: memory, time to be ready, and a look-up's cost.

For each size the sidecar is started twice: with PostgreSQL alone, and with the snapshot that the first left. Then 1,000
hot names, and names spread evenly over all, are checked.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import Edge, Server
from bench.ground import Ground
from bench.load.plan import CHECKS, Plan
from bench.load.tools import generate
from bench.load.tools import run as run_tool
from bench.process import cpu_seconds, resident_bytes
from bench.result import Bound, Line, Plot, Report
from bench.rows import add_names
from bench.stats import Rounds

MEGA, MICRO, NANO = 1e-6, 1e6, 1e9
LARGEST = 1_000_000
HOT = 1_000
DEPTH = 64


@dataclass(frozen=True, slots=True)
class Size:
    counts: tuple[int, ...]
    rounds: int
    checks: int  # a round


FULL = Size(counts=(1_000, 10_000, 100_000, LARGEST), rounds=5, checks=20_000)
QUICK = Size(counts=(1_000, 4_000), rounds=1, checks=1_000)


@dataclass(slots=True)
class At:
    """Of one size: bytes, seconds, seconds of CPU."""

    resident: float = 0.0
    from_postgres: float = 0.0
    from_snapshot: float = 0.0
    cpu_from_postgres: float = 0.0
    cpu_from_snapshot: float = 0.0
    check: dict[str, list[float]] = field(default_factory=lambda: {"hot": [], "uniform": []})
    lookup: dict[str, list[float]] = field(default_factory=lambda: {"hot": [], "uniform": []})


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(domains=size.counts, rounds=size.rounds, checks_a_round=size.checks, hot_names=HOT)
    found: dict[int, At] = {}
    async with ground.edge() as edge:
        there = 0
        for count in size.counts:
            await add_names(edge.database, there, count - there)
            there = count
            found[count] = await _measure(edge, count, size)
    _report(report, found)


async def _measure(edge: Edge, count: int, size: Size) -> At:
    at, name = At(), f"sidecar-{count}"
    first = await edge.start_sidecar(name)
    at.from_postgres, at.cpu_from_postgres = first.seconds_to_ready, cpu_seconds(first.pid)
    await edge.stop(first)  # it leaves its snapshot
    snapshot = edge.home / name / "directory.snapshot"
    sidecar = await edge.start_sidecar(name)
    at.from_snapshot, at.cpu_from_snapshot = sidecar.seconds_to_ready, cpu_seconds(sidecar.pid)
    for _ in range(size.rounds):
        for kind, names in (("hot", min(HOT, count)), ("uniform", count)):
            at.check[kind].append(await _check(edge, sidecar, names, count, size))
    at.resident = resident_bytes(sidecar.pid)
    await edge.stop(sidecar)
    at.lookup = await _lookup(edge, snapshot, count, size.rounds)
    return at


async def _check(edge: Edge, sidecar: Server, names: int, count: int, size: Size) -> float:
    """CPU seconds of the sidecar a check. Hot names lie side by side in the middle."""
    plan = Plan(
        kind=CHECKS, socket=str(sidecar.check_socket), names=names, first=(count - names) // 2, depth=DEPTH,
        limit=size.checks, seconds=60,
    )  # fmt: skip
    meter = await sidecar.meter()
    await generate(plan, edge.cores.load)
    answered, cpu = await meter.read()
    if answered != size.checks:
        raise RuntimeError(f"{answered} of {size.checks} checks were allowed")
    return cpu / answered


async def _lookup(edge: Edge, snapshot: Path, count: int, rounds: int) -> dict[str, list[float]]:
    argv = [sys.executable, "-m", "bench.lookup", str(snapshot), str(count), str(rounds)]
    found: dict[str, list[float]] = json.loads(await run_tool(argv, edge.cores.server))
    return found


def _report(report: Report, found: dict[int, At]) -> None:
    largest, least = max(found), min(found)
    checks: dict[tuple[int, str], Rounds] = {}
    lookups: dict[tuple[int, str], Rounds] = {}
    for count, at in found.items():
        report.figure(f"resident.{count}", at.resident * MEGA, "MB", "resident memory of the sidecar after its checks")
        report.figure(
            f"ready_from_postgres.{count}", at.from_postgres, "s", "from exec to /readyz 200, without a snapshot"
        )
        report.figure(
            f"ready_from_snapshot.{count}", at.from_snapshot, "s", "from exec to /readyz 200, with a snapshot"
        )
        report.figure(f"ready_cpu_from_postgres.{count}", at.cpu_from_postgres, "s", "CPU of the sidecar until then")
        report.figure(f"ready_cpu_from_snapshot.{count}", at.cpu_from_snapshot, "s", "CPU of the sidecar until then")
        for kind in ("hot", "uniform"):
            checks[count, kind] = report.figure(
                f"check_cpu.{kind}.{count}", [value * MICRO for value in at.check[kind]], "µs",
                "CPU of the sidecar a check, in a closed loop of 64 on the socket",
            )  # fmt: skip
            lookups[count, kind] = report.figure(
                f"lookup_cpu.{kind}.{count}", [value * NANO for value in at.lookup[kind]], "ns",
                "CPU of Directory.lookup, in a process of its own",
            )  # fmt: skip
    million = found.get(LARGEST)
    memory, cold, restored = (
        (million.resident * MEGA, million.from_postgres, million.from_snapshot) if million else (None, None, None)
    )
    report.goal("resident memory at 1M domains", memory, "MB", Bound.AT_MOST, 450)
    report.goal("ready from PostgreSQL at 1M domains", cold, "s", Bound.AT_MOST, 6)
    report.goal("ready from the snapshot at 1M domains", restored, "s", Bound.AT_MOST, 2)
    ratios = {}
    for what, costs in (("check", checks), ("lookup", lookups)):
        for kind in ("hot", "uniform"):
            ratios[what, kind] = report.figure(
                f"{what}_cpu.{kind}.ratio", costs[largest, kind].value / costs[least, kind].value, "x",
                f"at {largest} domains, over its cost at {least}",
            )  # fmt: skip
    whole, alone = (ratios["check", "uniform"], ratios["lookup", "hot"]) if million else (None, None)
    report.goal("check of any name at 1M domains, of its cost at 1k", whole, "x", Bound.AT_MOST, 1.2)
    report.goal("Directory.lookup of hot names at 1M domains, of its cost at 1k", alone, "x", Bound.AT_MOST, 1.2)
    report.notes.append(
        "At a thousand names everything is in the processor's caches. Names spread evenly over a million are answered "
        "by the machine's memory, in any data structure: lookup_cpu.uniform shows it, check_cpu.uniform what a check "
        "notices of it."
    )
    _plots(report, found)


def _plots(report: Report, found: dict[int, At]) -> None:
    memory = tuple((count, at.resident * MEGA) for count, at in found.items())
    report.plots.append(
        Plot("memory", "resident memory", "lines", (Line("sidecar", memory),), "domains", "MB", log_x=True)
    )
    lines = []
    for kind in ("hot", "uniform"):
        for what in ("lookup", "check"):
            costs = {count: Rounds.of(getattr(at, what)[kind]).value * NANO for count, at in found.items()}
            lines.append(Line(f"{kind} names: {what}", tuple(costs.items())))
    report.plots.append(
        Plot("cost", "CPU of a look-up and of a check", "lines", tuple(lines), "domains", "ns", log_x=True, log_y=True)
    )
    ready = (
        Line("from PostgreSQL", tuple((count, at.from_postgres) for count, at in found.items())),
        Line("from the snapshot", tuple((count, at.from_snapshot) for count, at in found.items())),
    )
    report.plots.append(Plot("ready", "from exec to ready", "lines", ready, "domains", "s", log_x=True, log_y=True))
