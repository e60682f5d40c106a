"""Two million checks through Envoy, one after the other's answer: is the memory flat?

Named on the command line only: it takes minutes and has nothing beside it. What grows is looked for in its last half,
when every buffer, arena and memo has its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.edge import Server
from bench.envoys import REQUEST_LANE
from bench.ground import Ground
from bench.load.tools import wrk
from bench.names import hostname
from bench.process import resident_bytes
from bench.result import Bound, Line, Plot, Report
from bench.rows import add_names, add_served
from embedded.envoy import Envoy

SERVED = 32
CONNECTIONS = 32
MEGA = 1e6
FLAT = 1.02


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    checks: int
    seconds: float  # of load between two looks at the memory


FULL = Size(names=10_000, checks=2_000_000, seconds=10)
QUICK = Size(names=1_000, checks=2_000, seconds=1)


@dataclass(frozen=True, slots=True)
class Look:
    checks: int
    sidecar: float  # MB
    envoy: float


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(names=size.names, checks=size.checks, connections=CONNECTIONS)
    failed = 0
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, SERVED)
        await add_names(edge.database, SERVED, size.names)
        sidecar = await edge.start_sidecar()
        envoy, port = await edge.start_envoy("envoy", REQUEST_LANE, sidecar.sockets)
        looks: list[Look] = []
        while not looks or looks[-1].checks < size.checks:
            name = hostname(len(looks) % SERVED)
            load = await wrk(name, port, connections=CONNECTIONS, seconds=size.seconds, core=edge.cores.load)
            failed += load.failed
            looks.append(await _look(sidecar, envoy))
    middle, end = looks[len(looks) // 2], looks[-1]
    report.figure("checks", end.checks, "checks", "answered OK, by the sidecar's own count")
    report.figure("failed", failed, "requests", "requests through Envoy that were not answered 200")
    report.figure("sidecar.resident", [look.sidecar for look in looks], "MB", "resident memory, each look of the run")
    report.figure("envoy.resident", [look.envoy for look in looks], "MB", "the same of Envoy")
    growth = None if quick else end.sidecar / middle.sidecar
    report.goal("sidecar's memory at the end over that at half time", growth, "x", Bound.AT_MOST, FLAT)
    report.goal("failed requests", float(failed), "requests", Bound.AT_MOST, 0)
    lines = (
        Line("sidecar", tuple((look.checks / MEGA, look.sidecar) for look in looks)),
        Line("Envoy", tuple((look.checks / MEGA, look.envoy) for look in looks)),
    )
    report.plots.append(Plot("memory", "resident memory", "lines", lines, "million checks", "MB"))


async def _look(sidecar: Server, envoy: Envoy) -> Look:
    return Look(await sidecar.checks(), resident_bytes(sidecar.pid) / MEGA, resident_bytes(envoy.pid) / MEGA)
