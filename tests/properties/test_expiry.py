"""When something that ends is warned of: never too early for its life, ever more urgently, and at the end for sure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from control.services.expiry import THRESHOLDS, threshold

START = datetime(2026, 1, 1, tzinfo=UTC)
LIVES = st.timedeltas(timedelta(minutes=1), timedelta(days=4000))
MOMENTS = st.timedeltas(timedelta(days=-10), timedelta(days=5000))


@given(LIVES, MOMENTS, MOMENTS)
def test_warnings_grow_more_urgent_with_time(life, first, second):
    end = START + life
    earlier, later = (threshold(START, end, START + moment) for moment in sorted((first, second)))
    assert later is None or later in THRESHOLDS
    assert earlier is None or (later is not None and later <= earlier)


@given(LIVES, MOMENTS)
def test_it_is_warned_of_in_the_last_third_of_its_life_only(life, moment):
    end, now = START + life, START + moment
    days = threshold(START, end, now)
    if now >= end:
        assert days == 0
    if days is not None:
        assert end - now <= timedelta(days=days) <= life / 3
