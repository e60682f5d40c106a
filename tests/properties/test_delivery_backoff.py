"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from control.outbox.backoff import JITTER, LONGEST_RETRY_AFTER, SCHEDULE, TOTAL, delay
from control.outbox.webhook import LONGEST_RETRY_AFTER as LONGEST_TAKEN
from control.outbox.webhook import retry_after

attempts = st.integers(1, 50)
ages = st.timedeltas(timedelta(0), timedelta(days=10))
waits = st.none() | st.timedeltas(timedelta(0), timedelta(days=30))
jitters = st.floats(-1, 1)
NOW = datetime(2026, 4, 22, 2, tzinfo=UTC)


@given(attempts, ages, waits, jitters)
def test_a_delay_is_of_the_schedule_or_what_was_asked_for_within_bounds(number, age, asked, jitter) -> None:
    found = delay(number, age, asked, jitter)
    if found is None:
        assert number > len(SCHEDULE) or age >= TOTAL
        return
    step = SCHEDULE[number - 1]
    assert found >= step * (1 - JITTER)
    assert found <= max(step * (1 + JITTER), LONGEST_RETRY_AFTER)
    if asked is not None and asked <= LONGEST_RETRY_AFTER:
        assert found >= asked


@given(st.lists(jitters, min_size=len(SCHEDULE), max_size=len(SCHEDULE)))
def test_it_is_tried_for_about_three_days_and_then_given_up(jitter) -> None:
    age, number = timedelta(0), 1
    while (wait := delay(number, age, None, jitter[min(number, len(SCHEDULE)) - 1])) is not None:
        age, number = age + wait, number + 1
    assert number == len(SCHEDULE) + 1
    assert timedelta(days=2.5) < age < timedelta(days=4)
    assert abs(age - TOTAL) <= TOTAL * JITTER


@given(waits, jitters)
def test_however_much_patience_is_asked_for_it_ends(asked, jitter) -> None:
    age, number = timedelta(0), 1
    while (wait := delay(number, age, asked, jitter)) is not None:
        age, number = age + wait, number + 1
    assert number <= len(SCHEDULE) + 1
    assert age < timedelta(days=6)


@given(st.text() | st.integers().map(str) | st.floats().map(str))
def test_retry_after_is_total_and_bounded(text) -> None:
    found = retry_after(text, NOW)
    assert found is None or timedelta(0) <= found <= LONGEST_TAKEN


@given(st.integers(0, 86_400))
def test_retry_after_is_read_as_seconds_and_as_a_date(seconds) -> None:
    wait = timedelta(seconds=seconds)
    assert retry_after(str(seconds), NOW) == wait
    assert retry_after(format_datetime(NOW + wait, usegmt=True), NOW) == wait
    assert retry_after(format_datetime(NOW - wait, usegmt=True), NOW) == timedelta(0)
