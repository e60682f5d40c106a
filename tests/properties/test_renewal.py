"""When a certificate is renewed, for lifetimes from an hour to three years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from control.certificates.renewal import Window, is_exempt, schedule, seed_of, urgent

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

lifetimes = st.timedeltas(HOUR, 1100 * DAY)
seeds = st.binary(min_size=1, max_size=40)
days = st.integers(1, 60)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
windows = st.tuples(moments, moments)


@given(lifetimes, days, st.none() | windows, seeds)
def test_a_certificate_is_renewed_while_it_is_valid(
    lifetime: timedelta, days_before: int, window: Window | None, seed: bytes
) -> None:
    at = schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed)
    assert START < at < START + lifetime


@given(lifetimes, days, st.none() | windows, seeds)
def test_half_the_margin_is_always_left(
    lifetime: timedelta, days_before: int, window: Window | None, seed: bytes
) -> None:
    at = schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed)
    assert START + lifetime - at >= min(days_before * DAY, lifetime / 3) / 2 - timedelta(microseconds=2)


@given(lifetimes, days, seeds)
def test_without_a_window_it_is_the_margin_or_up_to_half_of_it_earlier(
    lifetime: timedelta, days_before: int, seed: bytes
) -> None:
    at = schedule(START, START + lifetime, days_before=days_before, window=None, seed=seed)
    margin = min(days_before * DAY, lifetime / 3)
    assert margin <= START + lifetime - at <= margin + min(margin / 2, 5 * DAY) + timedelta(microseconds=2)


@given(lifetimes, days, windows, seeds)
def test_a_window_that_leaves_enough_time_is_obeyed(
    lifetime: timedelta, days_before: int, window: Window, seed: bytes
) -> None:
    start, end = window
    margin = min(days_before * DAY, lifetime / 3)
    at = schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed)
    if START + min(lifetime / 20, 12 * HOUR) <= start < end <= START + lifetime - margin / 2:
        assert start <= at < end


@given(lifetimes, days, seeds, st.timedeltas(HOUR, 900 * DAY))
def test_a_window_in_the_past_makes_it_due_as_soon_as_the_certificate_is_not_quite_new(
    lifetime: timedelta, days_before: int, seed: bytes, ago: timedelta
) -> None:
    window = (START - ago - HOUR, START - ago)
    at = schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed)
    assert at == START + min(lifetime / 20, 12 * HOUR)


@given(lifetimes, days, seeds, moments)
def test_a_window_that_is_none_changes_nothing(
    lifetime: timedelta, days_before: int, seed: bytes, moment: datetime
) -> None:
    plain = schedule(START, START + lifetime, days_before=days_before, window=None, seed=seed)
    for window in ((moment, moment), (moment, moment - HOUR), (START + lifetime, START + 2 * lifetime)):
        assert schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed) == plain


@given(lifetimes, days, st.none() | windows, seeds)
def test_it_is_the_same_whoever_reckons(
    lifetime: timedelta, days_before: int, window: Window | None, seed: bytes
) -> None:
    first, second = (
        schedule(START, START + lifetime, days_before=days_before, window=window, seed=seed) for _ in range(2)
    )
    assert first == second


def test_known_lifetimes_have_the_times_of_the_specification() -> None:
    def left(lifetime: timedelta) -> tuple[timedelta, timedelta]:
        """The least and the most that is left of the lifetimes of 2,000 certificates when they are renewed."""
        end = START + lifetime
        times = [
            end - schedule(START, end, days_before=30, window=None, seed=seed_of(uuid4(), "0a")) for _ in range(2000)
        ]
        return min(times), max(times)

    for lifetime, margin, spread in (
        (90 * DAY, 30 * DAY, 5 * DAY),
        (64 * DAY, 64 * DAY / 3, 5 * DAY),
        (45 * DAY, 15 * DAY, 5 * DAY),
        (160 * HOUR, 160 * HOUR / 3, 160 * HOUR / 6),
        (397 * DAY, 30 * DAY, 5 * DAY),
    ):
        least, most = left(lifetime)
        assert margin <= least < margin + spread / 20
        assert margin + spread * 0.95 < most <= margin + spread


def test_five_thousand_of_one_hour_stay_below_what_a_ca_takes() -> None:
    for lifetime in (90 * DAY, 64 * DAY, 45 * DAY):
        hours: dict[int, int] = {}
        for _ in range(5000):
            at = schedule(START, START + lifetime, days_before=30, window=None, seed=seed_of(uuid4(), "0a"))
            hour = (at - START) // HOUR
            hours[hour] = hours.get(hour, 0) + 1
        assert max(hours.values()) < 100


@given(windows, moments)
def test_only_inside_the_window_is_a_renewal_exempt(window: Window, now: datetime) -> None:
    assert is_exempt(window, now) == (window[0] <= now < window[1])
    assert not is_exempt(None, now)


@given(lifetimes, days, seeds)
def test_no_renewal_begins_as_an_urgent_one_unless_the_margin_is_that_small(
    lifetime: timedelta, days_before: int, seed: bytes
) -> None:
    end = START + lifetime
    at = schedule(START, end, days_before=days_before, window=None, seed=seed)
    assert not urgent(START, end, START)
    assert urgent(START, end, end - timedelta(seconds=1))
    if days_before >= 5:
        assert not urgent(START, end, at)
