"""Which CA is asked, as time and trouble pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from control.acme.ca import Ca
from control.acme.problems import URN, AcmeMisconfigured, AcmeRefused, AcmeUnavailable, Problem
from control.certificates.authorities import FAILURES, LONGEST_OUT, OUT, Authorities, CaMetrics

AWAY = AcmeUnavailable("ConnectTimeout")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def authorities(clock, registry):
    cas = [Ca(name=name, directory_url=f"https://{name}.example/dir") for name in ("first", "second", "third")]
    nothing: Any = None  # no account is opened here
    return Authorities.of(cas, nothing, nothing, CaMetrics(registry), clock)


def names(authorities):
    return [one.name for one in authorities.in_order()]


def test_the_order_is_the_operators(authorities):
    assert names(authorities) == ["first", "second", "third"]
    assert [one.name for one in authorities] == ["first", "second", "third"]


def test_one_that_is_out_is_passed_over_until_then(authorities, clock, registry):
    first = authorities.by_directory("https://first.example/dir")
    authorities.out(first, clock.now + timedelta(minutes=1))
    assert names(authorities) == ["second", "third"]
    assert registry.get_sample_value("nameplate_acme_ca_out", {"ca": "first"}) == 1
    clock.passes(timedelta(minutes=1))
    assert names(authorities) == ["first", "second", "third"]
    assert names(authorities)[0] == "first"


def test_when_all_are_out_all_are_asked(authorities, clock):
    for one in authorities:
        authorities.out(one, clock.now + timedelta(minutes=1))
    assert names(authorities) == ["first", "second", "third"]


def test_a_shorter_verdict_does_not_end_a_longer_one(authorities, clock):
    first = next(iter(authorities))
    authorities.out(first, clock.now + timedelta(hours=1))
    authorities.out(first, clock.now + timedelta(minutes=1))
    clock.passes(timedelta(minutes=30))
    assert names(authorities) == ["second", "third"]


def test_one_that_works_again_is_back_at_once(authorities, clock, registry):
    first = next(iter(authorities))
    authorities.out(first, clock.now + timedelta(hours=1))
    authorities.back(first)
    assert names(authorities)[0] == "first"
    assert registry.get_sample_value("nameplate_acme_ca_out", {"ca": "first"}) == 0


def test_a_directory_that_is_not_configured_has_no_authority(authorities):
    assert authorities.by_directory("https://other.example/dir") is None


def test_single_failures_between_successes_take_no_ca_out(authorities):
    first = next(iter(authorities))
    for _ in range(10):
        for _ in range(FAILURES - 1):
            authorities.failed(first, AWAY)
        authorities.back(first)
    assert names(authorities)[0] == "first"


def test_failures_in_a_row_do_and_each_outage_is_longer(authorities, clock):
    first = next(iter(authorities))
    for _ in range(FAILURES):
        authorities.failed(first, AWAY)
    for shortest in OUT:
        assert names(authorities) == ["second", "third"]
        clock.passes(shortest * 0.99)
        assert names(authorities) == ["second", "third"]
        clock.passes(shortest * 0.25)
        assert names(authorities)[0] == "first", "tried again"
        authorities.failed(first, AWAY)
        assert names(authorities)[0] == "second", "one failure is enough now"


def test_failures_while_it_is_out_do_not_prolong_it(authorities, clock):
    first = next(iter(authorities))
    for _ in range(50):  # jobs that were under way
        authorities.failed(first, AWAY)
    clock.passes(OUT[0] * 1.25)
    assert names(authorities)[0] == "first"


def test_a_ca_that_says_for_how_long_is_believed_at_once_and_within_a_day(authorities, clock):
    first, second, _ = authorities
    authorities.failed(first, AcmeUnavailable("HTTP status 503", timedelta(hours=2)))
    authorities.failed(second, AcmeUnavailable("HTTP status 503", timedelta(days=7)))
    assert names(authorities) == ["third"]
    clock.passes(timedelta(hours=2))
    assert names(authorities) == ["first", "third"]
    clock.passes(LONGEST_OUT - timedelta(hours=2))
    assert names(authorities) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "error",
    [
        AcmeRefused(Problem(URN + "rejectedIdentifier", status=400)),
        AcmeRefused(Problem(URN + "caa", status=403)),
        AcmeRefused(Problem(URN + "rateLimited", status=429), timedelta(hours=34)),
        AcmeRefused(Problem(URN + "unauthorized", status=403)),
        AcmeRefused(Problem(URN + "badCSR", status=400)),
        AcmeRefused(Problem(URN + "accountDoesNotExist", status=400)),
    ],
)
def test_a_tenants_mistake_and_a_limit_of_one_name_take_no_ca_out(authorities, error):
    first = next(iter(authorities))
    for _ in range(10):
        authorities.failed(first, error)
    assert names(authorities)[0] == "first"


@pytest.mark.parametrize(
    "error",
    [
        AcmeMisconfigured("ca_eab_missing", "…"),
        AcmeRefused(Problem(URN + "userActionRequired", status=403)),
        AcmeRefused(Problem(URN + "invalidProfile", status=400)),
        AcmeRefused(Problem(URN + "serverInternal", status=500)),
        AcmeRefused(Problem(URN + "rateLimited", status=503)),
    ],
)
def test_what_meets_every_order_at_a_ca_does(authorities, error):
    first = next(iter(authorities))
    for _ in range(FAILURES):
        authorities.failed(first, error)
    assert names(authorities) == ["second", "third"]


def test_attempts_are_counted_by_ca_and_outcome(authorities, registry):
    first = next(iter(authorities))
    for outcome in ("issued", "issued", "ca_rate_limited"):
        authorities.count(first, outcome)
    found = registry.get_sample_value("nameplate_acme_orders_total", {"ca": "first", "outcome": "issued"})
    assert found == 2


def test_there_is_always_one():
    with pytest.raises(ValueError, match="no CA"):
        Authorities([])
