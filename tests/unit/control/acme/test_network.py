"""Retry-After, the one header whose meaning is ours to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control.acme.network import LONGEST_RETRY_AFTER, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(seconds=120)),
        (" 3 ", timedelta(seconds=3)),
        ("Thu, 01 Jan 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Thu, 01 Jan 2026 13:01:00 +0100", timedelta(minutes=1)),
        ("Thu, 01 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("99999999999999999999", LONGEST_RETRY_AFTER),
        ("Thu, 01 Jan 2099 12:01:00 GMT", LONGEST_RETRY_AFTER),
    ],
)
def test_seconds_and_dates_are_both_understood(text, expected):
    assert retry_after(text, NOW) == expected


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1.5", "٣", "Thu, 99 Jan 2026 12:01:00 GMT"])
def test_anything_else_is_as_if_it_were_not_there(text):
    assert retry_after(text, NOW) is None
