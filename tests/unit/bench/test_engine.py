"""The loops over a target that answers at known times, on a clock that only moves when the target is waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest

from bench.load.engine import OK, UNFINISHED, closed_loop, open_loop


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """Answers each operation `seconds` after it began, `room` of them at once; from `stall` on not before `until`."""

    def __init__(self, clock: Clock, seconds: float, room: int = 1000, stall: tuple[float, float] = (0, 0)) -> None:
        self._clock, self._seconds, self._room, self._stall = clock, seconds, room, stall
        self.under_way: dict[int, float] = {}
        self.most = 0
        self._pipe, self._write = os.pipe()
        os.write(self._write, b"x")  # always ready, so that nothing really waits

    def readers(self) -> Sequence[int]:
        return [self._pipe]

    def writers(self) -> Sequence[int]:
        return ()

    def submit(self, ticket: int) -> bool:
        if len(self.under_way) >= self._room:
            return False
        self.under_way[ticket] = self._clock() + self._seconds
        self.most = max(self.most, len(self.under_way))
        return True

    def flush(self) -> None:
        pass

    def handle(self, readable: Sequence[int], writable: Sequence[int]) -> list[tuple[int, str]]:
        self._clock.now += 0.0005
        start, until = self._stall
        if start <= self._clock.now < until:
            return []
        done = [ticket for ticket, ready in self.under_way.items() if ready <= self._clock.now]
        for ticket in done:
            del self.under_way[ticket]
        return [(ticket, OK) for ticket in done]

    def close(self) -> None:
        os.close(self._pipe)
        os.close(self._write)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def targets() -> Iterator[list[Slow]]:
    made: list[Slow] = []
    yield made
    for target in made:
        target.close()


def test_an_open_loop_begins_what_is_due_whether_or_not_the_rest_is_done(clock: Clock, targets: list[Slow]) -> None:
    targets.append(target := Slow(clock, seconds=0.1))
    samples = open_loop(target, rate=100, seconds=1, clock=clock)
    assert samples.outcomes == {OK: 100}
    assert target.most == pytest.approx(10, abs=2)
    assert max(samples.latency) == pytest.approx(0.1, abs=0.005)


def test_an_open_loop_charges_a_stall_to_all_that_was_due_meanwhile(clock: Clock, targets: list[Slow]) -> None:
    """A closed loop of one would have one slow operation; here half a second's worth of them are slow."""
    targets.append(target := Slow(clock, seconds=0.001, room=1, stall=(100.2, 100.7)))
    samples = open_loop(target, rate=100, seconds=1, clock=clock)
    assert samples.outcomes == {OK: 100}
    late = [latency for latency in samples.latency if latency > 0.05]
    assert len(late) >= 40
    assert max(late) == pytest.approx(0.5, abs=0.02)
    assert max(samples.lag) < 0.01


def test_what_is_never_answered_is_unfinished_and_no_latency(clock: Clock, targets: list[Slow]) -> None:
    targets.append(target := Slow(clock, seconds=1000.0))
    samples = open_loop(target, rate=10, seconds=1, clock=clock)
    assert samples.outcomes == {UNFINISHED: 10}
    assert samples.latency == []
    assert len(samples.failed) == 10


def test_a_closed_loop_keeps_so_many_under_way(clock: Clock, targets: list[Slow]) -> None:
    targets.append(target := Slow(clock, seconds=0.01))
    samples = closed_loop(target, depth=4, seconds=1, clock=clock)
    assert target.most == 4
    assert set(samples.outcomes) == {OK}
    assert samples.outcomes[OK] == pytest.approx(4 * 100, rel=0.15)


def test_a_closed_loop_ends_at_its_limit(clock: Clock, targets: list[Slow]) -> None:
    targets.append(target := Slow(clock, seconds=0.001))
    assert closed_loop(target, depth=4, seconds=60, limit=37, clock=clock).outcomes == {OK: 37}


def test_a_loop_that_is_stopped_waits_for_what_is_under_way_and_begins_no_more(
    clock: Clock, targets: list[Slow]
) -> None:
    for run in (
        lambda target, stopped: open_loop(target, rate=100, seconds=60, clock=clock, stopped=stopped),
        lambda target, stopped: closed_loop(target, depth=10, seconds=60, clock=clock, stopped=stopped),
    ):
        targets.append(target := Slow(clock, seconds=0.1))
        end = clock() + 1.0
        samples = run(target, lambda: clock() >= end)  # noqa: B023 -- called at once
        assert set(samples.outcomes) == {OK}
        assert samples.outcomes[OK] == pytest.approx(100, abs=15)
        assert 0.99 < samples.seconds < 1.15
