"""What a running process costs, and on which core it runs. Read from /proc: proc(5), the kernel's sched-stats.rst.

A server may be several processes (a supervisor and its child), so figures are of a process and all its descendants.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from embedded.process import children

T = TypeVar("T")

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """Servers on one, load on the other; the same one where there is only one."""

    server: int
    load: int

    @property
    def both(self) -> set[int]:
        return {self.server, self.load}

    @classmethod
    def choose(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0))
        return cls(server=usable[0], load=usable[-1])


@contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """What this thread starts inside the block runs on these cores, with all its own threads and children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def begun_on_core(starting: Awaitable[T], *cores: int) -> T:
    """As `on_core`, for what `starting` starts in its first step. Whoever waits for it stays on the cores it was on."""
    with on_core(*cores):
        task = asyncio.ensure_future(starting)
        await asyncio.sleep(0)
    return await task


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for child in children(pid):
        found += family(child)
    return found


def cpu_seconds(pid: int) -> float:
    """Time on a CPU so far, of all living threads of the process and its descendants, to the nanosecond."""
    nanoseconds = 0
    for member in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in (Path("/proc") / str(member) / "task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
                    nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants; pages that they share count once each."""
    total = 0
    for member in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int((Path("/proc") / str(member) / "statm").read_text().split()[1]) * PAGE
    return total


def kernel_part(pid: int) -> tuple[float, float]:
    """(seconds in the kernel, seconds in all) of one process so far, by clock ticks."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]) / TICKS, int(fields[12]) / TICKS
    return system, user + system


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Begun by `now`; `cores_since` says how many cores others than this process and its descendants used meanwhile.

    By clock ticks, also of processes that have ended: for telling a quiet machine from a busy one.
    """

    at: float
    busy: float
    own: float

    @classmethod
    def now(cls) -> Neighbours:
        own = sum(_seconds_with_ended_children(member) for member in family(os.getpid()))
        return cls(time.monotonic(), _machine_busy_seconds(), own)

    def cores_since(self) -> float:
        now = Neighbours.now()
        others = (now.busy - self.busy) - (now.own - self.own)
        return max(0.0, others / (now.at - self.at))


def _seconds_with_ended_children(pid: int) -> float:
    # proc(5): utime, stime, cutime and cstime are fields 14 to 17; comm may hold spaces and brackets
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def _machine_busy_seconds() -> float:
    """All cores: user, nice, system, irq, softirq and steal (proc(5), /proc/stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS
