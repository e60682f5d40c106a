"""The sentences of Let's Encrypt, as its server makes them, and others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control.limits.policy import Scope
from control.limits.refusal import LONGEST, UNSAID, Refusal, read

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 14, 30, 7, tzinfo=UTC)
SEE = "retry after 2026-11-21 14:30:07 UTC: see https://letsencrypt.org/docs/rate-limits/#x"


@pytest.mark.parametrize(
    ("detail", "scope"),
    [
        (f"too many new orders (300) from this account in the last 3h0m0s, {SEE}", Scope.ACCOUNT),
        (
            f'too many certificates (50) already issued for "mybrand.co" in the last 168h0m0s, {SEE}',
            Scope.REGISTERED_DOMAIN,
        ),
        (
            f"too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, {SEE}",
            Scope.EXACT_SET,
        ),
        (f'too many failed authorizations (5) for "shop.mybrand.co" in the last 1h0m0s, {SEE}', Scope.NAME),
    ],
)
def test_the_limit_and_the_time_are_read(detail: str, scope: Scope) -> None:
    assert read(detail, NOW) == Refusal(scope, LATER)


def test_a_paused_name_is_one_name() -> None:
    detail = "Your account is temporarily prevented from requesting certificates for a.example and possibly others."
    assert read(detail, NOW) == Refusal(Scope.NAME, NOW + UNSAID)


def test_retry_after_comes_first() -> None:
    assert read(f"too many new orders, {SEE}", NOW, NOW + timedelta(minutes=5)).until == NOW + timedelta(minutes=5)


def test_what_nobody_understands_stops_the_account_for_an_hour_at_most() -> None:
    assert read("Try another day.", NOW, NOW + timedelta(days=300)) == Refusal(Scope.ACCOUNT, NOW + UNSAID)
    assert read("", NOW) == Refusal(Scope.ACCOUNT, NOW + UNSAID)


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ("2000-01-01 00:00:00 UTC", NOW),
        ("9999-01-01 00:00:00 UTC", NOW + LONGEST),
        ("2026-99-01 00:00:00 UTC", NOW + UNSAID),
        ("tomorrow", NOW + UNSAID),
    ],
)
def test_a_time_that_cannot_be_meant_is_bounded(said: str, until: datetime) -> None:
    assert read(f"too many new orders (300) from this account, retry after {said}", NOW).until == until
