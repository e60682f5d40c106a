"""GCRA, the algorithm by which Let's Encrypt's server counts its own limits (boulder, ratelimits/gcra.go).

A bucket is one time: its theoretical arrival time (TAT), at which it is full again. A token costs one interval; the
bucket is empty when its TAT lies a whole burst ahead. Tokens come back one by one, without a timer.

Knows no database and no clock. A level also keeps the latest time at which it was judged: the bucket's clock, which
never goes backwards, so that a clock which jumps back and forth refills nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# A bucket's clock so far ahead was set while the clock was wrong; less is skew between machines.
LARGEST_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """`capacity`: tokens of a full bucket at the CA. `interval`: one comes back in it.

    `held_back`: of the capacity, what we never spend. An order reaches the CA later than we count it, so the CA's
    bucket refills later than ours: that stays unseen for delays up to `held_back` intervals.
    """

    capacity: int
    interval: timedelta
    held_back: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.held_back < self.capacity or self.interval <= timedelta(0):
            raise ValueError("a bucket needs a token to give, and time to get it back")

    @property
    def burst(self) -> timedelta:
        return self.interval * (self.capacity - self.held_back)


@dataclass(frozen=True, slots=True)
class Level:
    """Of a bucket. `tat`: when it is full again. `clock`: when it was judged last."""

    tat: datetime
    clock: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """`until`: when as many are allowed as were asked for; not after now when they are. `after`: once they are spent.

    `room`: how many are allowed now.
    """

    allowed: bool
    until: datetime
    room: int
    after: Level


def ask(rate: Rate, level: Level | None, now: datetime, tokens: int = 1) -> Answer:
    """May so many be spent now? `level`: None for a bucket that was never used."""
    tat, clock = _at(level, now)
    until = tat + rate.interval * tokens - rate.burst
    room = max((clock + rate.burst - tat) // rate.interval, 0)
    return Answer(until <= clock, until, room, Level(tat + rate.interval * tokens, clock))


def spend(rate: Rate, level: Level | None, now: datetime) -> Level:
    """The level after something was counted that could not be refused; a bucket is never emptier than empty."""
    tat, clock = _at(level, now)
    return Level(min(tat + rate.interval, clock + rate.interval * rate.capacity), clock)


def give_back(rate: Rate, level: Level) -> Level:
    """The level after something that was counted did not happen; a bucket is never fuller than full."""
    return Level(max(level.tat - rate.interval, level.clock), level.clock)


def _at(level: Level | None, now: datetime) -> tuple[datetime, datetime]:
    """The TAT, not before the bucket's clock; and the clock."""
    if level is None:
        return now, now
    if level.clock - now > LARGEST_SKEW:  # nothing came back in a time of which nobody knows how long it was
        return now + max(level.tat - level.clock, timedelta(0)), now
    clock = max(now, level.clock)
    return max(level.tat, clock), clock
