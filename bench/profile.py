"""`nameplate bench profile`: where the CPU time of a hit goes, as the ten greatest costs and a flame graph.

The sidecar runs under `bench.sampler` on the servers' core; h2load asks it for one name in a closed loop. What C code
and the kernel do is on the Python function that called them or, where Python was entered next, on that.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.edge import Edge
from bench.ground import Ground
from bench.load.tools import h2load
from bench.names import hostname
from bench.process import kernel_part
from bench.result import Block, Plot, Report
from bench.rows import add_names

CLIENTS, STREAMS = 2, 32
NAMES = 1_000
TOP = 10
MICRO = 1e6
NARROWEST = 0.004  # of the whole width: a frame that can be seen
POLL, PATIENCE = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Profile:
    """`stacks`: frames `file:function:line`, outermost first, and their samples. `cpu`: seconds while sampling."""

    cpu: float
    stacks: tuple[tuple[tuple[str, ...], int], ...]

    @classmethod
    def read(cls, path: Path) -> Profile:
        found = json.loads(path.read_text())
        return cls(found["cpu"], tuple((tuple(frames), count) for frames, count in found["stacks"]))

    @property
    def samples(self) -> int:
        return sum(count for _, count in self.stacks)

    def own(self) -> Counter[str]:
        """Samples by the function that ran (with what it called outside Python), `file:function`."""
        found: Counter[str] = Counter()
        for frames, count in self.stacks:
            found[frames[-1].rpartition(":")[0] if frames else "nothing"] += count
        return found

    def own_lines(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for frames, count in self.stacks:
            found[frames[-1] if frames else "nothing"] += count
        return found

    def blocks(self) -> Iterator[Block]:
        """The flame graph: each function as wide as its share, upon the one that called it."""
        yield from _blocks([(_functions(frames), count) for frames, count in self.stacks], 0.0, 0, self.samples)


async def run(ground: Ground, report: Report, quick: bool) -> None:
    seconds = 1.0 if quick else 10.0
    report.parameters.update(names=NAMES, seconds=seconds, clients=CLIENTS, streams=STREAMS)
    async with ground.edge() as edge:
        await add_names(edge.database, 0, NAMES)
        found, checks, cpu, kernel = await _sample(edge, seconds)
    cost = report.figure(
        "cpu_per_check",
        cpu / checks * MICRO,
        "µs",
        "of the sampled sidecar by the scheduler, over the checks it counts",
    )
    report.figure("kernel_part", kernel, "x", "of that CPU time, what was spent in the kernel (sockets)")
    report.figure("samples", found.samples, "samples", "one at each tick of the profiling timer, in CPU time")
    if found.samples:
        for number, (name, count) in enumerate(found.own().most_common(TOP), 1):
            share = count / found.samples
            report.figure(f"top.{number:02}", share * cost.value, "µs", name)
            report.notes.append(f"{number:2}. {share:6.1%}  {share * cost.value:5.2f} µs a check  {name}")
        report.notes.append("by line:")
        for name, count in found.own_lines().most_common(TOP):
            report.notes.append(f"    {count / found.samples:6.1%}  {name}")
    report.plots.append(
        Plot("flame", "CPU of the sidecar, closed loop on the check socket", "flame", (), blocks=tuple(found.blocks()))
    )


async def _sample(edge: Edge, seconds: float) -> tuple[Profile, int, float, float]:
    """The profile; the checks that were answered meanwhile, the CPU seconds, and the kernel's part of them."""
    path = edge.home / "profile.json"
    server = await edge.start_sampled(path)

    async def load(seconds: float) -> None:
        await h2load(
            server.check_socket, hostname(0), clients=CLIENTS, streams=STREAMS, seconds=seconds, core=edge.cores.load,
            scratch=edge.home,
        )  # fmt: skip

    await load(seconds / 4)
    meter = await server.meter()
    kernel = kernel_part(server.pid)
    server.process.signal(signal.SIGUSR1)
    await load(seconds)
    server.process.signal(signal.SIGUSR2)
    in_kernel, in_all = (after - before for after, before in zip(kernel_part(server.pid), kernel, strict=True))
    checks, cpu = await meter.read()
    async with asyncio.timeout(PATIENCE):
        while not path.exists():  # noqa: ASYNC110 -- another process's file sets no event
            await asyncio.sleep(POLL)
    return Profile.read(path), checks, cpu, in_kernel / in_all


def _functions(frames: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(frame.rpartition(":")[0] for frame in frames)


def _blocks(stacks: list[tuple[tuple[str, ...], int]], left: float, depth: int, whole: int) -> Iterator[Block]:
    by_first: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for frames, count in stacks:
        if frames:
            by_first.setdefault(frames[0], []).append((frames[1:], count))
    for name, inner in sorted(by_first.items()):
        width = sum(count for _, count in inner) / whole
        if width >= NARROWEST:
            yield Block(name, left, width, depth)
            yield from _blocks(inner, left, depth + 1, whole)
        left += width
