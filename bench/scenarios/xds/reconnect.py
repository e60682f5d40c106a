"""An Envoy that has many certificates comes back, and none has changed: after a cut, and after a sidecar's replacement.

After a cut the same sidecar ends one stream and begins another, and both are counted. A replacement's cost is that of
the new worker from when the connection reaches it; its start is counted in the scenario `restart`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bench.process import cpu_seconds
from bench.relay import Relay
from bench.result import Bound, Report
from bench.scenarios.xds.loaded import QUIET, Loaded

MILLI = 1e3
GOAL = 100  # milliseconds


@dataclass(slots=True)
class Found:
    """`cpu`: milliseconds. `octets`: both ways. `resent`: resources, by the sidecar's own counters."""

    cpu: list[float] = field(default_factory=list)
    octets: list[float] = field(default_factory=list)
    responses: list[float] = field(default_factory=list)
    resent: int = 0


async def measure(many: Loaded, rounds: int, report: Report) -> None:
    cut, replaced = Found(), Found()
    await many.relay.quiet(QUIET)
    idle = await _idle(many, QUIET * 5)
    for _ in range(rounds):
        await _cut(many, cut)
        await _replace(many, replaced)
    report.figure("reconnect.idle", idle * MILLI, "ms/s", "CPU of the sidecar when nothing happens: for comparison")
    for name, found, meaning in (
        ("cut", cut, "the connection was cut, the sidecar is the same"),
        ("replaced", replaced, "SIGHUP: the new worker's, from the connection on"),
    ):
        cpu = report.figure(f"reconnect.{name}.cpu", found.cpu, "ms", f"CPU of the sidecar; {meaning}")
        report.figure(f"reconnect.{name}.bytes", found.octets, "bytes", f"both ways; {meaning}")
        report.figure(f"reconnect.{name}.responses", found.responses, "responses", f"from the sidecar; {meaning}")
        report.figure(f"reconnect.{name}.resent", found.resent, "secrets", f"by the sidecar's counters; {meaning}")
        what = f"reconnect with {many.names:,} names and nothing changed, {name}"
        report.goal(f"{what}: sidecar's CPU", cpu, "ms", Bound.AT_MOST, GOAL)
        report.goal(f"{what}: secrets resent", float(found.resent), "secrets", Bound.AT_MOST, 0)


async def _idle(many: Loaded, seconds: float) -> float:
    """CPU seconds a second."""
    before = cpu_seconds(many.sidecar.pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(many.sidecar.pid) - before) / seconds


async def _cut(many: Loaded, found: Found) -> None:
    relay, sent = many.relay, await many.sent()
    await relay.quiet(QUIET)
    counted = _Counted(relay)
    before = cpu_seconds(many.sidecar.pid)
    await relay.cut()
    await counted.come_back()
    found.cpu.append((cpu_seconds(many.sidecar.pid) - before) * MILLI)
    await _check(many, found, counted)
    found.resent += await many.sent() - sent


async def _replace(many: Loaded, found: Found) -> None:
    """The counters of the new worker begin at nothing."""
    relay, old = many.relay, set(many.sidecar.workers())
    begun: dict[int, float] = {}

    def connected() -> None:
        begun.update({pid: cpu_seconds(pid) for pid in set(many.sidecar.workers()) - old - begun.keys()})

    await relay.quiet(QUIET)
    counted = _Counted(relay)
    relay.on_connection = connected
    try:
        await many.sidecar.replace()
        await counted.come_back()
    finally:
        relay.on_connection = lambda: None
    ((worker, before),) = begun.items()
    found.cpu.append((cpu_seconds(worker) - before) * MILLI)
    await _check(many, found, counted)
    found.resent += await many.sent()


async def _check(many: Loaded, found: Found, counted: _Counted) -> None:
    octets, responses = counted.since()
    found.octets.append(octets)
    found.responses.append(responses)
    subscribed = await many.subscriptions()
    if subscribed < many.names:
        raise RuntimeError(f"Envoy asks for {subscribed} names of {many.names}")


class _Counted:
    """What passes the relay from now on."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._connections = relay.connections
        self._up, self._down = relay.up.copy(), relay.down.copy()

    async def come_back(self) -> None:
        """Until Envoy has connected again, has said what it has, and all is quiet."""
        relay = self._relay
        await relay.until(lambda: relay.connections > self._connections and relay.up.messages > self._up.messages)
        await relay.quiet(QUIET)

    def since(self) -> tuple[int, int]:
        """Bytes both ways, and responses of the sidecar."""
        up, down = self._relay.up - self._up, self._relay.down - self._down
        return up.octets + down.octets, down.messages
