"""What one changed certificate costs, with many loaded and with few: CPU of the sidecar and of Envoy, and bytes.

Each change is committed as control does it, and waited for until Envoy has acknowledged it. The new certificates are in
Vault beforehand. Rounds of the two alternate.
"""

from __future__ import annotations

import asyncpg

from bench import renewals
from bench.authority import Authority
from bench.process import cpu_seconds
from bench.result import Bound, Report
from bench.scenarios.xds.loaded import Loaded
from bench.stats import Rounds

MICRO = 1e6
GOAL = 1.2
PARTS = {
    "sidecar": ("µs", "CPU of the sidecar, its supervisor included"),
    "envoy": ("µs", "CPU of Envoy"),
    "bytes": ("bytes", "on the discovery connection, both ways, framing included"),
    "messages": ("messages", "of gRPC on it, both ways"),
}


async def measure(few: Loaded, many: Loaded, authority: Authority, changes: int, rounds: int, report: Report) -> None:
    found: dict[int, dict[str, list[float]]] = {loaded.names: {part: [] for part in PARTS} for loaded in (few, many)}
    for _ in range(rounds):
        for loaded in (few, many):
            cost = await _round(loaded, authority, changes)
            for part, value in cost.items():
                found[loaded.names][part].append(value)
    _report(report, found, few.names, many.names)


async def _round(loaded: Loaded, authority: Authority, changes: int) -> dict[str, float]:
    """Each of PARTS, a change."""
    edge, relay = loaded.edge, loaded.relay
    numbers = [number * loaded.names // changes for number in range(changes)]
    ready = await renewals.prepare(edge.database, edge.mount, authority, numbers)
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        await relay.quiet(0.1)
        before = cpu_seconds(loaded.sidecar.pid), cpu_seconds(loaded.envoy.pid)
        up, down = relay.up.copy(), relay.down.copy()
        for number, renewal in enumerate(ready, 1):
            await renewals.store(connection, renewal)
            await relay.until(lambda: relay.up.messages - up.messages >= number)  # noqa: B023 -- waited for
        spent = cpu_seconds(loaded.sidecar.pid) - before[0], cpu_seconds(loaded.envoy.pid) - before[1]
    finally:
        await connection.close()
    sent = relay.down - down
    if sent.messages != changes:
        raise RuntimeError(f"{sent.messages} responses for {changes} changes")
    told = relay.up - up
    return {
        "sidecar": spent[0] / changes * MICRO,
        "envoy": spent[1] / changes * MICRO,
        "bytes": (sent.octets + told.octets) / changes,
        "messages": (sent.messages + told.messages) / changes,
    }


def _report(report: Report, found: dict[int, dict[str, list[float]]], few: int, many: int) -> None:
    for part, (unit, meaning) in PARTS.items():
        costs: dict[int, Rounds] = {}
        for names, values in found.items():
            costs[names] = report.figure(
                f"change.{part}.{names}", values[part], unit, f"{meaning}, one changed certificate of {names} loaded"
            )
        ratio = report.figure(f"change.{part}.ratio", costs[many].over(costs[few]), "x", "round by round")
        if part != "messages":
            report.goal(
                f"one changed certificate with {many:,} loaded, of its cost with {few}: {part}",
                ratio,
                "x",
                Bound.AT_MOST,
                GOAL,
            )
