"""GCRA against a bucket that counts its tokens, and against a CA that hears of everything later than we count it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.limits.gcra import LARGEST_SKEW, Level, Rate, ask, spend
from control.limits.policy import LETSENCRYPT

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

intervals = st.integers(1, 7 * 86400).map(lambda seconds: seconds * SECOND)
rates = st.builds(Rate, capacity=st.integers(1, 20), interval=intervals)
# in intervals of the rate, so that buckets run empty and full
steps = st.lists(st.fractions(0, 5), max_size=60)


class TokenBucket:
    """The other way to say it: tokens, which grow with time up to the capacity."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = Fraction(rate.capacity)
        self.at = START

    def take(self, now: datetime) -> bool:
        grown = Fraction((now - self.at) // timedelta(microseconds=1), self.rate.interval // timedelta(microseconds=1))
        self.tokens = min(Fraction(self.rate.capacity), self.tokens + grown)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(rates, steps)
def test_it_allows_what_a_bucket_of_tokens_allows(rate: Rate, waits: list[Fraction]) -> None:
    model, level, now = TokenBucket(rate), None, START
    for wait in waits:
        now += float(wait) * rate.interval
        answer = ask(rate, level, now)
        assert answer.allowed == model.take(now)
        assert answer.allowed == (answer.room >= 1) == (answer.until <= now)
        if answer.allowed:
            level = answer.after


@given(rates, steps)
def test_until_is_the_first_moment_at_which_it_is_allowed(rate: Rate, waits: list[Fraction]) -> None:
    level, now = None, START
    for wait in waits:
        now += float(wait) * rate.interval
        answer = ask(rate, level, now)
        if answer.allowed:
            level = answer.after
        else:
            assert ask(rate, level, answer.until).allowed
            assert not ask(rate, level, answer.until - timedelta(microseconds=1)).allowed


@given(rates, st.integers(1, 30), steps)
def test_room_is_how_many_are_allowed_one_after_the_other(rate: Rate, extra: int, waits: list[Fraction]) -> None:
    level, now = None, START
    for wait in waits:
        now += float(wait) * rate.interval
        level = spend(rate, level, now)
    room = ask(rate, level, now).room
    for _ in range(room):
        answer = ask(rate, level, now)
        assert answer.allowed
        level = answer.after
    assert not ask(rate, level, now).allowed
    assert ask(rate, None, now, rate.capacity + extra).allowed is False


@given(
    st.integers(1, 20).flatmap(lambda held: st.tuples(st.just(held), st.integers(held + 1, held + 20))),
    intervals,
    st.lists(st.tuples(st.fractions(0, 3), st.fractions(0, 1)), max_size=80),
)
def test_a_ca_that_counts_later_never_refuses_within_the_margin(
    sizes: tuple[int, int], interval: timedelta, orders: list[tuple[Fraction, Fraction]]
) -> None:
    """Each order arrives with a delay of its own, at most `held_back` intervals, so they overtake each other too."""
    held_back, capacity = sizes
    rate = Rate(capacity, interval, held_back)
    level, now, arrivals = None, START, []
    for wait, part in orders:
        now += float(wait) * interval
        answer = ask(rate, level, now)
        if answer.allowed:
            level = answer.after
            arrivals.append(now + float(part) * held_back * interval)
    ca = TokenBucket(Rate(capacity, interval))
    assert all(ca.take(at) for at in sorted(arrivals))


@given(rates, st.lists(st.tuples(st.fractions(0, 3), st.integers(0, LARGEST_SKEW // SECOND)), max_size=60))
def test_a_clock_that_jumps_within_the_skew_refills_nothing_twice(
    rate: Rate, steps: list[tuple[Fraction, int]]
) -> None:
    """No two readings differ by more than the skew: beyond it a clock was wrong, and its bucket moves along with it."""
    level, true, spent = None, START, []
    for wait, jump in steps:
        true += float(wait) * rate.interval
        answer = ask(rate, level, true + jump * SECOND)
        if answer.allowed:
            level = answer.after
            spent.append(true)
    for first, start in enumerate(spent):
        for last, end in enumerate(spent[first:], 1):
            assert last <= rate.capacity + (end - start + LARGEST_SKEW) / rate.interval


def test_after_a_clock_that_was_a_year_ahead_the_bucket_is_as_full_as_it_was() -> None:
    rate = Rate(5, timedelta(minutes=12))
    level = None
    for _ in range(3):
        level = spend(rate, level, START + timedelta(days=365))
    assert ask(rate, level, START).room == 2
    assert ask(rate, level, START).after.clock == START


@given(rates, st.integers(0, 50))
def test_what_cannot_be_refused_never_empties_a_bucket_beyond_empty(rate: Rate, times: int) -> None:
    level: Level | None = None
    for _ in range(times):
        level = spend(rate, level, START)
    assert ask(rate, level, START).until <= START + rate.interval


@pytest.mark.parametrize("rate", [(0, SECOND, 0), (5, timedelta(0), 0), (5, SECOND, 5), (5, SECOND, -1)])
def test_a_bucket_that_could_never_give_is_refused(rate: tuple[int, timedelta, int]) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Rate(*rate)


def test_the_table_is_that_of_the_issue() -> None:
    seen = {one.name: (one.rate.capacity, one.rate.interval * one.rate.capacity) for one in LETSENCRYPT}
    assert seen == {
        "order": (300, timedelta(hours=3)),
        "certificate": (50, timedelta(days=7)),
        "exact_set": (5, timedelta(days=7)),
        "failed_validation": (5, timedelta(hours=1)),
        "failures_in_row": (1152, timedelta(days=1152)),
    }
    assert LETSENCRYPT[0].rate.interval == timedelta(seconds=36)
    assert timedelta(minutes=201) < LETSENCRYPT[1].rate.interval < timedelta(minutes=202)
    assert LETSENCRYPT[3].rate.interval == timedelta(minutes=12)
