"""Open and closed loops over a target that works without blocking. One thread, one `select`: cheap, and it says how
cheap.

Open loop: operation n is due at start + n / rate, whether or not the ones before it are done, and its latency counts
from when it was due. So a server that stalls is charged for everything that should have been asked meanwhile (what
a closed loop leaves out is called coordinated omission).
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

GRACE = 5.0  # seconds that the last operations are waited for
IDLE = 0.05

OK = "ok"
UNFINISHED = "unfinished"

Done = tuple[int, str]
"""A ticket, and OK or what went wrong in a word."""


class Target(Protocol):
    """Operations by ticket. Nothing here blocks; sockets are file descriptors below 1,024 (select(2))."""

    def readers(self) -> Sequence[int]: ...

    def writers(self) -> Sequence[int]: ...

    def submit(self, ticket: int) -> bool:
        """Begin an operation; False: there is no room, ask again after the next `handle`."""

    def flush(self) -> None:
        """Send what `submit` left to be sent; clear away what has ended."""

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[Done]:
        """Go on with what is ready."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Samples:
    """Seconds. `at`: when each was due (open) or begun (closed), since the start; `latency` in the same order.

    `lag`: from due to seen to be due: the generator's own lateness, which the latency contains. `cpu`: of the
    generator, an operation. `started`: the start by the monotonic clock of the machine, for who did something
    meanwhile. `failed`: from and until, since the start.
    """

    started: float = 0.0
    seconds: float = 0.0
    at: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[float, float]] = field(default_factory=list)
    cpu: float = 0.0

    def record(self, at: float, latency: float, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome == OK:
            self.at.append(at)
            self.latency.append(latency)
        else:
            self.failed.append((at, at + latency))


def never() -> bool:
    return False


def open_loop(
    target: Target,
    rate: float,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    stopped: Callable[[], bool] = never,
) -> Samples:
    """`rate` operations a second for `seconds` or until `stopped`, evenly spaced."""
    samples = Samples()
    count = max(1, round(rate * seconds))
    waiting: deque[int] = deque()
    under_way: set[int] = set()
    due = finished = 0
    cpu = time.process_time()
    samples.started = start = clock() + IDLE / 10
    end = start + count / rate + GRACE
    while finished < count and clock() < end:
        now = clock()
        if stopped() and due < count:
            count, end = due, now + GRACE
            continue
        while due < count and start + due / rate <= now:
            waiting.append(due)
            samples.lag.append(now - start - due / rate)
            due += 1
        while waiting and target.submit(waiting[0]):
            under_way.add(waiting.popleft())
        target.flush()
        patience = IDLE if due >= count else max(0.0, start + due / rate - clock())
        readable, writable, _ = select.select(target.readers(), target.writers(), (), min(IDLE, patience))
        done = target.handle(readable, writable)
        now = clock()
        for ticket, outcome in done:
            under_way.discard(ticket)
            finished += 1
            samples.record(ticket / rate, now - start - ticket / rate, outcome)
    for ticket in (*under_way, *waiting):
        samples.record(ticket / rate, GRACE, UNFINISHED)
    samples.seconds = clock() - start
    samples.cpu = (time.process_time() - cpu) / max(1, count)
    return samples


def closed_loop(
    target: Target,
    depth: int,
    seconds: float,
    limit: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    stopped: Callable[[], bool] = never,
) -> Samples:
    """`depth` operations under way at any time, for `seconds`, until `limit` of them were begun or `stopped`."""
    samples = Samples()
    begun: dict[int, float] = {}
    next_ticket = 0
    cpu = time.process_time()
    samples.started = start = clock()
    end = start + seconds
    while True:
        now = clock()
        if stopped():
            end = min(end, now)
        over = now >= end or (limit is not None and next_ticket >= limit)
        if (over and not begun) or now >= end + GRACE:
            break
        while not over and len(begun) < depth and (limit is None or next_ticket < limit):
            if not target.submit(next_ticket):
                break
            begun[next_ticket] = now
            next_ticket += 1
        target.flush()
        readable, writable, _ = select.select(target.readers(), target.writers(), (), IDLE)
        done = target.handle(readable, writable)
        now = clock()
        for ticket, outcome in done:
            at = begun.pop(ticket)
            samples.record(at - start, now - at, outcome)
    for at in begun.values():
        samples.record(at - start, GRACE, UNFINISHED)
    samples.seconds = clock() - start
    samples.cpu = (time.process_time() - cpu) / max(1, next_ticket)
    return samples
