"""Whatever the dates: every warning comes once, in order, and no certificate is served beyond its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from control.uploads.schedule import LONGEST_MARGIN, WARNINGS, Life

START = datetime(2026, 4, 22, 2, tzinfo=UTC)
LIVES = st.builds(
    lambda lifetime, age: Life(START - lifetime * age, START - lifetime * age + lifetime),
    st.timedeltas(timedelta(minutes=1), timedelta(days=800)),
    st.floats(0, 0.89),
)


@given(LIVES, st.lists(st.timedeltas(timedelta(0), timedelta(days=90)), max_size=30))
def test_a_worker_that_comes_late_or_in_time_tells_each_warning_at_most_once_and_ends_it(life, delays) -> None:
    now, told = START, []
    due = life.due_at(now)
    assert due > now
    for delay in [*delays, timedelta(days=900)]:
        now = max(due, now + delay)
        if life.is_over(now, None):
            break
        days = life.warning(now)
        if days is not None and life.not_after - timedelta(days=days) >= due:
            told.append(days)
        assert life.due_at(now) > now
        due = life.due_at(now)
    assert told == sorted(set(told), reverse=True)
    assert set(told) <= set(WARNINGS)
    assert now >= life.not_after, "it came to its end"


@given(LIVES)
def test_in_time_every_warning_ahead_is_told(life) -> None:
    ahead = [days for days in WARNINGS if life.not_after - timedelta(days=days) > START]
    due, told = life.due_at(START), []
    while not life.is_over(due, None):
        days = life.warning(due)
        if days is not None and life.not_after - timedelta(days=days) >= due:
            told.append(days)
        due = life.due_at(due)
    assert told == ahead


@given(LIVES, st.timedeltas(timedelta(days=-1), timedelta(days=800)))
def test_it_gives_way_a_little_before_its_end_only_to_one_that_lasts_longer(life, after) -> None:
    margin = life.not_after - life.switch_at
    assert timedelta(0) < margin <= min(LONGEST_MARGIN, (life.not_after - life.not_before) / 10)
    managed_until = life.not_after + after
    assert life.is_over(life.switch_at, managed_until) is (after > timedelta(0))
    assert not life.is_over(life.switch_at - timedelta(seconds=1), managed_until)
    assert not life.is_over(life.switch_at, None)
    assert life.is_over(life.not_after, None)
