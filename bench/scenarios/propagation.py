"""From the commit of a change in PostgreSQL to the first check that is answered by it: when nothing else happens, and
while 2,000 other changes a second are committed.

A domain is given to another tenant, and one check after the other asks for it until the answer has the new one. Time
counts from before the COMMIT is sent, so PostgreSQL's part is in it. The sidecar has the servers' core, PostgreSQL and
the load the other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass

import asyncpg

from bench.edge import Edge, Server
from bench.ground import Ground
from bench.load.changes import Plan
from bench.load.tools import run as run_tool
from bench.process import cpu_seconds
from bench.result import Bound, Line, Plot, Report
from bench.rows import add_names
from bench.stats import Distribution, percentile

MILLI = 1e3
RATE = 2_000
GAP, GAP_UNDER_LOAD = 0.12, 0.02


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    changes: int  # followed, in each condition
    settle: float  # seconds of the other changes before the first is followed


FULL = Size(names=10_000, changes=200, settle=2.0)
QUICK = Size(names=1_000, changes=10, settle=0.2)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(names=size.names, changes=size.changes, rate=RATE)
    async with ground.edge() as edge:
        await add_names(edge.database, 0, size.names)
        sidecar = await edge.start_sidecar()
        tenants = await _tenants(edge)
        followed = Plan(
            dsn=edge.database.control_dsn, tenants=tenants, first=0, names=size.changes,
            socket=str(sidecar.check_socket), count=size.changes, gap=GAP,
        )  # fmt: skip
        idle = await _run(edge, followed)
        again = Plan(
            dsn=followed.dsn, tenants=(tenants[1], tenants[0]), first=0, names=size.changes, socket=followed.socket,
            count=size.changes, gap=GAP_UNDER_LOAD,
        )  # fmt: skip
        others = Plan(
            dsn=followed.dsn, tenants=tenants, first=size.changes, names=size.names - size.changes, rate=RATE,
            seconds=3600,
        )  # fmt: skip
        busy, rate, cpu = await _while_others_change(edge, sidecar, again, others, size)
    _report(report, idle, busy, rate, cpu)


async def _while_others_change(
    edge: Edge, sidecar: Server, followed: Plan, others: Plan, size: Size
) -> tuple[dict[str, list[float]], float, float]:
    """Also: the changes a second there really were, and the sidecar's share of a core."""
    churn = asyncio.create_task(_run(edge, others))
    try:
        await asyncio.sleep(size.settle)
        before, cpu = await _committed(edge), cpu_seconds(sidecar.pid)
        found = await _run(edge, followed)
        after, cpu = await _committed(edge), cpu_seconds(sidecar.pid) - cpu
    finally:
        churn.cancel()
        await asyncio.gather(churn, return_exceptions=True)
    seconds = after[1] - before[1]
    return found, (after[0] - before[0]) / seconds, cpu / seconds


async def _tenants(edge: Edge) -> tuple[str, str]:
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        rows = await connection.fetch("INSERT INTO tenants (slug) VALUES ('one'), ('other') RETURNING id")
    finally:
        await connection.close()
    return str(rows[0]["id"]), str(rows[1]["id"])


async def _committed(edge: Edge) -> tuple[int, float]:
    """Rows of the change feed, and PostgreSQL's clock in seconds."""
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        row = await connection.fetchrow(
            "SELECT coalesce(max(id), 0)::bigint, extract(epoch FROM clock_timestamp())::float8 FROM changes"
        )
    finally:
        await connection.close()
    return row[0], row[1]


async def _run(edge: Edge, plan: Plan) -> dict[str, list[float]]:
    argv = [sys.executable, "-m", "bench.load.changes"]
    found: dict[str, list[float]] = json.loads(await run_tool(argv, edge.cores.load, plan.to_json().encode()))
    return found


def _report(
    report: Report, idle: dict[str, list[float]], busy: dict[str, list[float]], rate: float, cpu: float
) -> None:
    lines, p99 = [], {}
    for name, found, meaning in (
        ("idle", idle, "commit to changed answer, nothing else changing"),
        ("busy", busy, "commit to changed answer, during the other changes"),
    ):
        ordered = sorted(value * MILLI for value in found["latency"])
        report.distribution(name, Distribution.of(ordered), "ms", meaning)
        report.figure(f"p50.{name}", percentile(ordered, 50), "ms", meaning)
        p99[name] = report.figure(f"p99.{name}", percentile(ordered, 99), "ms", meaning)
        points = zip(found["at"], (value * MILLI for value in found["latency"]), strict=True)
        lines.append(Line(name, tuple(points)))
    report.figure("changes_during_busy", rate, "changes/s", "committed meanwhile, by the change feed's own rows")
    report.figure("sidecar_during_busy", cpu, "cores", "the sidecar's CPU time over wall-clock time meanwhile")
    report.goal("commit to changed answer, p99, idle", p99["idle"], "ms", Bound.AT_MOST, 10)
    report.goal(f"commit to changed answer, p99, during {RATE} changes/s", p99["busy"], "ms", Bound.AT_MOST, 250)
    report.plots.append(
        Plot(
            "latency", "from commit to changed answer", "lines", tuple(lines), "seconds into the run", "ms", log_y=True
        )
    )
