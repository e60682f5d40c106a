"""Renewal information, read strictly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control.acme.order import NotAcme
from control.acme.renewal_info import DEFAULT_POLL, LONGEST_POLL, SHORTEST_POLL, RenewalInfo

# RFC 9773 section 4.2
ANSWER = {
    "suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
    "explanationURL": "https://acme.example.com/docs/ari",
}
WINDOW = ANSWER["suggestedWindow"]


def test_an_answer_of_the_rfc_is_read():
    info = RenewalInfo.from_json(ANSWER, timedelta(hours=6))
    assert (info.start, info.end) == (datetime(2025, 1, 2, 4, tzinfo=UTC), datetime(2025, 1, 3, 4, tzinfo=UTC))
    assert info.explanation_url == "https://acme.example.com/docs/ari"


def test_a_date_is_read_in_its_own_offset_and_told_in_utc():
    info = RenewalInfo.from_json({"suggestedWindow": {**WINDOW, "start": "2025-01-02T05:00:00.123456789+01:00"}}, None)
    assert info.start == datetime(2025, 1, 2, 4, 0, 0, 123456, UTC)
    assert info.start.tzinfo is UTC
    assert info.explanation_url is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, DEFAULT_POLL),
        (timedelta(0), SHORTEST_POLL),
        (timedelta(hours=3), timedelta(hours=3)),
        (timedelta(days=7), LONGEST_POLL),
    ],
)
def test_when_to_ask_again_is_within_bounds(asked, expected):
    assert RenewalInfo.from_json(ANSWER, asked).retry_after == expected


@pytest.mark.parametrize(
    "window",
    [
        None,
        {},
        [],
        {"start": WINDOW["start"]},
        {"start": WINDOW["end"], "end": WINDOW["start"]},
        {"start": WINDOW["start"], "end": WINDOW["start"]},
        {**WINDOW, "start": "2025-01-02"},
        {**WINDOW, "start": "2025-01-02T04:00:00"},
        {**WINDOW, "start": "2025-W01-4T04:00:00Z"},
        {**WINDOW, "start": "2025-13-02T04:00:00Z"},
        {**WINDOW, "end": "9999-12-31T23:59:59-23:59"},
        {**WINDOW, "end": 1735876800},
    ],
)
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(NotAcme):
        RenewalInfo.from_json({"suggestedWindow": window}, None)


@pytest.mark.parametrize("url", [7, "javascript:alert(1)", "https://" + "x" * 600, ""])
def test_an_explanation_that_is_no_web_page_is_left_out(url):
    assert RenewalInfo.from_json({**ANSWER, "explanationURL": url}, None).explanation_url is None
