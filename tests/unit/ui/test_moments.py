from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.ui import moments

NOW = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (0.9, "now"),
        (1, "in 1 second"),
        (-59, "59 seconds ago"),
        (60, "in 1 minute"),
        (-3599, "59 minutes ago"),
        (7200, "in 2 hours"),
        (72 * 3600 - 60, "in 3 days"),
        (59 * 60 + 50, "in 1 hour"),
        (36 * 3600, "in 1 day"),
        (-86400, "1 day ago"),
        (44 * 86400, "in 44 days"),
        (45 * 86400, "6 June 2026"),
        (-400 * 86400, "18 March 2025"),
    ],
)
def test_a_moment_in_words(seconds: float, words: str) -> None:
    assert moments.in_words(NOW + timedelta(seconds=seconds), NOW) == words


def test_a_moment_is_shown_in_utc() -> None:
    at = datetime(2026, 4, 22, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert moments.in_full(at) == "21 April 2026, 23:30:00 UTC"
    assert moments.machine(at) == "2026-04-21T23:30:00Z"
    assert moments.short_date(at) == "21 Apr 2026"
