"""What each lane costs a visitor, beside an Envoy that asks nobody: TLS connections that stay open.

request: HTTP ext_authz for each request. connection: one question a connection, the tenant rides along.
Each of the three is there twice: answering by itself, where the lane's cost is the greatest part and the goals are
judged, and with an upstream (an Envoy on the load's core), where the headers that a lane adds are also sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.edge import Edge
from bench.envoys import CONNECTION_LANE, REQUEST_LANE
from bench.ground import Ground
from bench.load.plan import HTTPS, Plan
from bench.load.tools import Throughput, generate, wrk
from bench.names import hostname
from bench.process import cpu_seconds
from bench.result import Bound, Report
from bench.rows import add_names, add_served
from bench.scenarios.latency import MICRO, Latencies
from bench.stats import Rounds
from embedded.envoy import Envoy

SERVED = 32
CONNECTIONS = 32
BARE, CONNECTION, REQUEST = "bare", "connection", "request"


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    rounds: int
    seconds: float
    rate: float


FULL = Size(names=10_000, rounds=4, seconds=2, rate=2000)
QUICK = Size(names=1_000, rounds=1, seconds=1, rate=300)


@dataclass(slots=True)
class Measured:
    throughput: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    envoy_cpu: list[float] = field(default_factory=list)
    with_upstream: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lane:
    """`relaying_port`: of the Envoy that has an upstream."""

    envoy: Envoy
    port: int
    relaying_port: int


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(
        names=size.names, rounds=size.rounds, seconds_a_round=size.seconds, connections=CONNECTIONS, rate=size.rate
    )
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, SERVED)
        await add_names(edge.database, SERVED, size.names)
        sidecar = await edge.start_sidecar()
        upstream = await edge.start_upstream()
        lanes = {}
        for name, file, checked in (
            (BARE, REQUEST_LANE, False),
            (CONNECTION, CONNECTION_LANE, True),
            (REQUEST, REQUEST_LANE, True),
        ):
            envoy, port = await edge.start_envoy(f"envoy-{name}", file, sidecar.sockets, checked=checked)
            _, relaying = await edge.start_envoy(
                f"envoy-{name}-relaying", file, sidecar.sockets, checked=checked, upstream=upstream
            )
            lanes[name] = Lane(envoy, port, relaying)
        measured, latencies = await _measure(edge, size, lanes)
    _report(report, measured)
    latencies.report(report, "latency", f"{size.rate:g} requests a second over {SERVED} TLS connections, open loop")


async def _measure(edge: Edge, size: Size, lanes: dict[str, Lane]) -> tuple[dict[str, Measured], Latencies]:
    measured, latencies = {name: Measured() for name in lanes}, Latencies()
    for _ in range(size.rounds):
        for name, lane in lanes.items():
            one = await _wrk(edge, lane.port, 1, size)
            measured[name].p50.append(one.at(50))
            measured[name].p99.append(one.at(99))
        for name, lane in lanes.items():
            cpu = cpu_seconds(lane.envoy.pid)
            many = await _wrk(edge, lane.port, CONNECTIONS, size)
            measured[name].throughput.append(many.per_second)
            measured[name].envoy_cpu.append((cpu_seconds(lane.envoy.pid) - cpu) / many.requests)
        for name, lane in lanes.items():
            relayed = await _wrk(edge, lane.relaying_port, CONNECTIONS, size)
            measured[name].with_upstream.append(relayed.per_second)
        for name, lane in lanes.items():
            plan = Plan(
                kind=HTTPS, port=lane.port, names=SERVED, connections=SERVED, rate=size.rate, seconds=size.seconds / 2
            )
            latencies.add(name, await generate(plan, edge.cores.load))
    return measured, latencies


async def _wrk(edge: Edge, port: int, connections: int, size: Size) -> Throughput:
    found = await wrk(hostname(0), port, connections=connections, seconds=size.seconds, core=edge.cores.load)
    if found.failed:
        raise RuntimeError(f"{found.failed} of {found.requests} requests failed")
    return found


def _report(report: Report, measured: dict[str, Measured]) -> None:
    throughput: dict[str, Rounds] = {}
    p50: dict[str, Rounds] = {}
    relayed: dict[str, Rounds] = {}
    costs: dict[str, Rounds] = {}
    for name, one in measured.items():
        throughput[name] = report.figure(
            f"throughput_at_32.{name}", one.throughput, "requests/s", "wrk with 32 TLS connections, one worker"
        )
        p50[name] = report.figure(
            f"p50_at_1.{name}", [value * MICRO for value in one.p50], "µs", "wrk with one TLS connection"
        )
        report.figure(f"p99_at_1.{name}", [value * MICRO for value in one.p99], "µs", "the same")
        cpu = [value * MICRO for value in one.envoy_cpu]
        costs[name] = report.figure(f"envoy_cpu.{name}", cpu, "µs", "CPU of Envoy a request, at 32 connections")
        relayed[name] = report.figure(
            f"with_upstream_at_32.{name}", one.with_upstream, "requests/s", "the same, with an upstream"
        )
    for lane in (CONNECTION, REQUEST):
        report.figure(f"envoy_cpu.{lane}.ratio", costs[lane].over(costs[BARE]), "x", f"{lane} lane over bare")
        report.figure(f"with_upstream_at_32.{lane}.ratio", relayed[lane].over(relayed[BARE]), "x", f"{lane} over bare")
        throughput[lane] = report.figure(
            f"throughput_at_32.{lane}.ratio", throughput[lane].over(throughput[BARE]), "x", f"{lane} lane over bare"
        )
        p50[lane] = report.figure(f"p50_at_1.{lane}.ratio", p50[lane].over(p50[BARE]), "x", f"{lane} lane over bare")
    report.goal(
        "connection lane, keep-alive over TLS: throughput of bare Envoy's", throughput[CONNECTION], "x",
        Bound.AT_LEAST, 0.95,
    )  # fmt: skip
    report.goal("connection lane, keep-alive over TLS: p50 of bare Envoy's", p50[CONNECTION], "x", Bound.AT_MOST, 1.05)
