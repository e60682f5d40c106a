"""Names that are asked for on demand, none twice, as fast as they are answered.

Through Envoy, by clients whose ClientHello is answered with the name's certificate, and by a client of the discovery
stream alone, which shows what Envoy's part is. The certificates are in Vault only, or in the sidecar already. Servers
and clients may use both cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.edge import Edge, Server
from bench.load.engine import OK
from bench.load.plan import DISCOVERY, HELLOS, Plan
from bench.load.tools import generate
from bench.process import cpu_seconds
from bench.result import Bound, Report
from bench.stats import Rounds

MICRO = 1e6
DEPTH = 64
LONGEST = 120.0
GOAL = 1_000
VAULT, MEMORY = "vault", "memory"
ENVOY, STREAM = "envoy", "stream"
CORES = 2
GOALS = {
    (ENVOY, MEMORY): "ClientHellos through Envoy, certificates in the sidecar",
    (STREAM, VAULT): "a client of the stream, certificates in Vault",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """Of all names once. Names a second, and seconds of CPU a name by process."""

    rate: float
    cpu: Mapping[str, float]


async def measure(edge: Edge, names: int, report: Report) -> None:
    """`names` are served ones from 0 on."""
    passes: dict[tuple[str, str], Pass] = {}
    for by in (ENVOY, STREAM):
        sidecar = await edge.start_sidecar(f"demand-{by}", anywhere=True)
        for where in (VAULT, MEMORY):
            reads = await edge.mount.read_count()
            if by == ENVOY:
                passes[by, where] = await _through_envoy(edge, sidecar, f"demand-{where}", names)
            else:
                passes[by, where] = await _by_stream(edge, sidecar, names)
            read = await edge.mount.read_count() - reads
            if (read < names) is (where == VAULT):
                raise RuntimeError(f"{read} reads of Vault for {names} names: {where}")
        await edge.stop(sidecar)
    _report(report, passes, names)


async def _through_envoy(edge: Edge, sidecar: Server, name: str, names: int) -> Pass:
    envoy = await edge.start_bare_envoy(name, sidecar.sockets, anywhere=True)
    plan = Plan(kind=HELLOS, port=sidecar.ports.https, names=names, depth=DEPTH, limit=names, seconds=LONGEST)
    found = await _ask(edge, plan, {"sidecar": sidecar.pid, "envoy": envoy.pid, "vault": edge.mount.openbao.pid})
    await envoy.stop()  # the next one has the same ports
    return found


async def _by_stream(edge: Edge, sidecar: Server, names: int) -> Pass:
    plan = Plan(
        kind=DISCOVERY, socket=str(sidecar.sockets.secrets), names=names, depth=DEPTH, limit=names, seconds=LONGEST
    )
    return await _ask(edge, plan, {"sidecar": sidecar.pid, "vault": edge.mount.openbao.pid})


async def _ask(edge: Edge, plan: Plan, processes: Mapping[str, int]) -> Pass:
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    samples = await generate(plan, *edge.cores.both)
    spent = {name: (cpu_seconds(pid) - before[name]) / plan.names for name, pid in processes.items()}
    if samples.outcomes.get(OK) != plan.names:
        raise RuntimeError(f"not all of {plan.names} names were served: {samples.outcomes}")
    return Pass(plan.names / samples.seconds, {**spent, "client": samples.cpu})


def _report(report: Report, passes: Mapping[tuple[str, str], Pass], names: int) -> None:
    rates: dict[tuple[str, str], Rounds] = {}
    for (by, where), found in passes.items():
        what = "ClientHellos through Envoy" if by == ENVOY else "a client of the stream alone"
        rates[by, where] = report.figure(
            f"demand.{by}.{where}",
            found.rate,
            "names/s",
            f"names asked for once each by {what}; certificates: {where}",
        )
        for process, value in found.cpu.items():
            report.figure(
                f"demand.{by}.{where}.cpu.{process}",
                value * MICRO,
                "µs",
                f"CPU of {process} a name, both cores",
            )
        report.figure(
            f"demand.{by}.{where}.by_cpu",
            min(CORES / sum(found.cpu.values()), 1 / found.cpu["sidecar"]),
            "names/s",
            f"by those CPU times: what {CORES} cores do that nobody else uses (the sidecar has one of them at most)",
        )
    for (by, where), words in GOALS.items():
        report.goal(f"{names:,} names on demand: {words}", rates[by, where], "names/s", Bound.AT_LEAST, GOAL)
    report.notes.append(
        "Names on demand through Envoy with all certificates in Vault: clients, Envoy, the sidecar and Vault share the "
        "cores here, so that figure is theirs together; no goal is judged by it."
    )
