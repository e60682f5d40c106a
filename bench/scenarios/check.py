"""What a check costs: on the check socket alone, and through an Envoy with one worker; beside grpc.aio and no check.

Servers (the sidecar or its peer, and Envoy) share one core, the load has the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import Edge, Server
from bench.envoys import REQUEST_LANE, Sockets
from bench.ground import Ground
from bench.load.plan import CHECKS, HTTPS, Plan
from bench.load.tools import Throughput, generate, h2load, wrk
from bench.names import hostname
from bench.result import Bound, Report
from bench.rows import add_names, add_served
from bench.scenarios.latency import Latencies
from bench.stats import Rounds

SERVED = 32
CONNECTIONS = 32
CLIENTS, STREAMS = 2, 32
MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Size:
    names: int
    rounds: int
    seconds: float
    rate: float  # of the open loop through Envoy: well below what the slowest can do


FULL = Size(names=10_000, rounds=4, seconds=2, rate=1000)
QUICK = Size(names=1_000, rounds=1, seconds=1, rate=300)


@dataclass(slots=True)
class Measured:
    """One server's rounds. Seconds and checks a second."""

    ceiling: list[float] = field(default_factory=list)
    socket_cpu: list[float] = field(default_factory=list)
    envoy_cpu: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(
        names=size.names, rounds=size.rounds, seconds_a_round=size.seconds, connections=CONNECTIONS, rate=size.rate
    )
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, SERVED)
        await add_names(edge.database, SERVED, size.names)
        sidecar, peer = await edge.start_sidecar(), await edge.start_grpc_aio()
        await _measure(edge, size, report, sidecar, peer)


async def _measure(edge: Edge, size: Size, report: Report, sidecar: Server, peer: Server) -> None:
    beside = Sockets(peer.check_socket, sidecar.sockets.secrets)  # the peer has no certificates
    ports = {}
    for name, sockets, checked in (
        ("bare", sidecar.sockets, False),
        ("nameplate", sidecar.sockets, True),
        ("grpc.aio", beside, True),
    ):
        ports[name] = (await edge.start_envoy(f"envoy-{name}", REQUEST_LANE, sockets, checked=checked))[1]
    servers = {"nameplate": sidecar, "grpc.aio": peer}
    measured = {name: Measured() for name in ports}
    open_latency, socket_latency = Latencies(), Latencies()
    host = hostname(0)
    for _ in range(size.rounds):
        for name, server in servers.items():
            await _on_socket(edge, size, server, measured[name], edge.home)
            plan = Plan(kind=CHECKS, socket=str(server.check_socket), names=size.names, rate=size.rate,
                        seconds=size.seconds / 2)  # fmt: skip
            socket_latency.add(name, await generate(plan, edge.cores.load))
        for name, port in ports.items():
            one = await wrk(host, port, connections=1, seconds=size.seconds, core=edge.cores.load)
            measured[name].p50.append(one.at(50))
            measured[name].p99.append(one.at(99))
        for name, port in ports.items():
            await _through_envoy(edge, size, host, port, servers.get(name), measured[name])
        for name, port in ports.items():
            plan = Plan(kind=HTTPS, port=port, names=SERVED, connections=SERVED, rate=size.rate,
                        seconds=size.seconds / 2)  # fmt: skip
            open_latency.add(name, await generate(plan, edge.cores.load))
    _report(report, measured)
    socket_latency.report(report, "socket", f"{size.rate:g} checks a second on the check socket, open loop")
    open_latency.report(
        report, "envoy", f"{size.rate:g} requests a second over {SERVED} TLS connections through Envoy, open loop"
    )


async def _on_socket(edge: Edge, size: Size, server: Server, measured: Measured, scratch: Path) -> None:
    """The closed loop of h2load; the server says how many it has answered."""
    meter = await server.meter()
    load = await h2load(
        server.check_socket, hostname(0), clients=CLIENTS, streams=STREAMS, seconds=size.seconds,
        core=edge.cores.load, scratch=scratch,
    )  # fmt: skip
    answered, cpu = await meter.read()
    _require_all(load, answered)
    measured.socket_cpu.append(cpu / answered)
    measured.ceiling.append(load.per_second)


async def _through_envoy(
    edge: Edge, size: Size, host: str, port: int, server: Server | None, measured: Measured
) -> None:
    meter = await server.meter() if server else None
    load = await wrk(host, port, connections=CONNECTIONS, seconds=size.seconds, core=edge.cores.load)
    measured.throughput.append(load.per_second)
    if meter:
        answered, cpu = await meter.read()
        _require_all(load, answered)
        measured.envoy_cpu.append(cpu / answered)


def _require_all(load: Throughput, answered: int) -> None:
    """Each answer that the load counts was a check that was allowed; those cut off at the end are only the server's."""
    if load.failed or answered < load.requests:
        raise RuntimeError(f"{load.failed} of {load.requests} requests failed, the server allowed {answered} checks")


def _report(report: Report, measured: dict[str, Measured]) -> None:
    ours, theirs = measured["nameplate"], measured["grpc.aio"]
    ceilings, cpus = {}, {}
    for name, one in (("nameplate", ours), ("grpc.aio", theirs)):
        cpus[name] = report.figure(
            f"cpu_per_check_at_32.{name}", [value * MICRO for value in one.envoy_cpu], "µs",
            "CPU time of the server's processes by the scheduler, over the checks that it counts, while wrk keeps 32 "
            "TLS connections through Envoy busy",
        )  # fmt: skip
        report.figure(
            f"cpu_per_check_on_socket.{name}", [value * MICRO for value in one.socket_cpu], "µs",
            "the same in the closed loop of h2load on the check socket",
        )  # fmt: skip
        ceilings[name] = report.figure(
            f"ceiling.{name}", one.ceiling, "checks/s", f"h2load -c {CLIENTS} -m {STREAMS} on the check socket"
        )
    p50, throughput = {}, {}
    for name, one in measured.items():
        p50[name] = report.figure(
            f"p50_at_1.{name}", [value * MICRO for value in one.p50], "µs", "wrk with one TLS connection through Envoy"
        )
        report.figure(f"p99_at_1.{name}", [value * MICRO for value in one.p99], "µs", "the same")
        throughput[name] = report.figure(
            f"throughput_at_32.{name}", one.throughput, "requests/s", "wrk with 32 TLS connections through Envoy"
        )
    cpu_ratio = report.figure(
        "cpu_per_check_at_32.ratio", cpus["nameplate"].over(cpus["grpc.aio"]), "x", "nameplate over grpc.aio"
    )
    ceiling_ratio = report.figure(
        "ceiling.ratio", ceilings["nameplate"].over(ceilings["grpc.aio"]), "x", "nameplate over grpc.aio"
    )
    added = {
        name: report.figure(f"added_p50_at_1.{name}", p50[name].minus(p50["bare"]), "µs", "above bare Envoy's p50")
        for name in ("nameplate", "grpc.aio")
    }
    # Of the medians: in a single round of a busy machine the difference may be lost.
    added_ratio: float | None = None
    if min(added["nameplate"].value, added["grpc.aio"].value) > 0:
        added_ratio = added["nameplate"].value / added["grpc.aio"].value
        report.figure("added_p50_at_1.ratio", added_ratio, "x", "nameplate over grpc.aio")
    else:
        report.notes.append("What a check adds to the p50 at 1 connection was lost in the noise of the machine.")
    throughput_ratio = report.figure(
        "throughput_at_32.ratio", throughput["nameplate"].over(throughput["grpc.aio"]), "x", "nameplate over grpc.aio"
    )
    _goals(report, cpu_ratio, cpus["nameplate"], ceiling_ratio, added_ratio, throughput_ratio)


def _goals(
    report: Report, cpu_ratio: Rounds, cpu: Rounds, ceiling: Rounds, added: float | None, throughput: Rounds
) -> None:
    report.goal("CPU per check at 32 connections, of grpc.aio's", cpu_ratio, "x", Bound.AT_MOST, 1 / 15)
    report.goal("CPU per check at 32 connections", cpu, "µs", Bound.AT_MOST, 8)
    report.goal("closed loop on the socket, of grpc.aio's", ceiling, "x", Bound.AT_LEAST, 15)
    report.goal("p50 added to bare Envoy at 1 connection, of grpc.aio's", added, "x", Bound.AT_MOST, 0.55)
    report.goal("throughput through Envoy at 32 connections, of grpc.aio's", throughput, "x", Bound.AT_LEAST, 2.7)
