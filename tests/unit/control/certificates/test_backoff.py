"""How long to wait, against the limits of a public CA."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control.certificates.backoff import CA_TROUBLE, FAILURES, LONGEST_JITTER, VAULT_TROUBLE, delay

TABLES = [FAILURES, CA_TROUBLE, VAULT_TROUBLE]


@pytest.mark.parametrize("table", TABLES)
def test_delays_grow_and_the_last_one_stays(table):
    assert list(table) == sorted(table)
    assert table[-1] <= delay(table, 1000) <= table[-1] * (1 + LONGEST_JITTER)


@pytest.mark.parametrize("table", TABLES)
def test_a_delay_is_never_shorter_than_the_table_says(table):
    for times, least in enumerate(table, 1):
        assert all(least <= delay(table, times) <= least * (1 + LONGEST_JITTER) for _ in range(50))


def test_a_name_fails_at_most_five_validations_in_any_hour():
    """Let's Encrypt's limit; the delays without jitter are the worst case."""
    moments = [timedelta(0)]
    for times in range(1, 20):
        moments.append(moments[-1] + FAILURES[min(times, len(FAILURES)) - 1])
    for start in moments:
        assert sum(start <= moment < start + timedelta(hours=1) for moment in moments) <= 5
