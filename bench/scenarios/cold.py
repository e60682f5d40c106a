"""The first handshake of a name, at 100 new names a second: its certificate in Vault only, or in the sidecar already;
beside handshakes of names that Envoy knows.

Each round has names of its own and three passes over them: through an Envoy when nobody knows them (Vault), through
another Envoy of the same sidecar (the sidecar has them now), and through that one again (warm).
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.envoys import REQUEST_LANE
from bench.ground import Ground
from bench.load.plan import HANDSHAKES, Plan
from bench.load.tools import generate
from bench.process import cpu_seconds
from bench.result import Bound, Report
from bench.rows import add_served
from bench.scenarios.latency import MICRO, Latencies, in_milliseconds

RATE = 100
VAULT, MEMORY, WARM = "vault", "memory", "warm"


@dataclass(frozen=True, slots=True)
class Size:
    rounds: int
    names: int  # a round


FULL = Size(rounds=4, names=250)
QUICK = Size(rounds=1, names=30)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(rounds=size.rounds, names_a_round=size.names, rate=RATE)
    latencies, reread = Latencies(), 0
    cpu: dict[str, list[float]] = {VAULT: [], MEMORY: [], WARM: []}
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, size.rounds * size.names)
        sidecar = await edge.start_sidecar()
        ports = [(await edge.start_envoy(f"envoy-{number}", REQUEST_LANE, sidecar.sockets))[1] for number in (1, 2)]
        for number in range(size.rounds):
            reads = await edge.mount.read_count()
            for name, port in ((VAULT, ports[0]), (MEMORY, ports[1]), (WARM, ports[1])):
                plan = Plan(
                    kind=HANDSHAKES, port=port, first=number * size.names, names=size.names, rate=RATE,
                    seconds=size.names / RATE,
                )  # fmt: skip
                before = cpu_seconds(sidecar.pid)
                latencies.add(name, await generate(plan, edge.cores.load))
                cpu[name].append((cpu_seconds(sidecar.pid) - before) / size.names * MICRO)
            read = await edge.mount.read_count() - reads
            if read < size.names:
                raise RuntimeError(f"{read} reads of Vault for {size.names} new names")
            reread += read - size.names
    report.figure("reread", reread, "reads", "of Vault, beyond one a name: a read that took too long is tried again")
    _report(report, latencies, cpu)


def _report(report: Report, latencies: Latencies, cpu: dict[str, list[float]]) -> None:
    latencies.report(report, "handshake", f"TLS handshakes at {RATE}/s, open loop")
    p50 = {name: in_milliseconds(latencies.each(name, 50)) for name in (VAULT, MEMORY, WARM)}
    p99 = {name: in_milliseconds(latencies.each(name, 99)) for name in (VAULT, MEMORY, WARM)}
    for name, meaning in (
        (VAULT, "first handshake of a name whose certificate is in Vault only"),
        (MEMORY, "first handshake of a name at an Envoy whose sidecar has the certificate"),
        (WARM, "handshake of a name whose certificate Envoy has"),
    ):
        report.figure(f"p50.{name}", p50[name], "ms", meaning)
        report.figure(f"p99.{name}", p99[name], "ms", meaning)
        report.figure(f"sidecar_cpu.{name}", cpu[name], "µs", "CPU of the sidecar a handshake")
    ratio = report.figure(
        "p50.memory.ratio", p50[MEMORY].over(p50[WARM]), "x", "certificate in the sidecar, over a warm handshake"
    )
    report.goal("certificate in Vault only, p50", p50[VAULT], "ms", Bound.AT_MOST, 6)
    report.goal("certificate in Vault only, p99", p99[VAULT], "ms", Bound.AT_MOST, 25)
    report.goal("certificate in the sidecar, of a warm handshake, p50", ratio, "x", Bound.AT_MOST, 1.3)
