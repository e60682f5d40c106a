"""Where a name leads, over every mixture of what resolvers may say."""

from __future__ import annotations

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from control.dns.outcome import Answer, Definitive, Malformed, NoData, NoName, Outcome, Refused, ServFail, Timeout
from control.dns.sighting import EXPLANATIONS, Code, Expected, Place, Sighting, sight
from core.target import tenant_target

PLATFORM = "custom.platform.io"
OWN = tenant_target("t-0123456789abcdef0123", PLATFORM)
OTHER = tenant_target("t-ffffffffffffffffffff", PLATFORM)
OURS, THEIRS = (b"192.0.2.1", b"2001:DB8::1"), (b"198.51.100.1", b"2001:db8::ffff")

chains = st.lists(st.sampled_from([OWN, OTHER, PLATFORM, "edge.example"]), max_size=2, unique=True).map(tuple)
values = st.lists(st.sampled_from([*OURS, *THEIRS]), min_size=1, max_size=3, unique=True).map(tuple)
definitive = st.one_of(
    st.builds(Answer, st.just("r"), values, chains),
    st.builds(NoName, st.just("r"), chains),
    st.builds(NoData, st.just("r"), chains),
)
failures = st.one_of(
    *(st.builds(kind, st.just("r")) for kind in (ServFail, Refused, Timeout, Malformed)),
)
outcomes = st.one_of(definitive, failures)
pairs = st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=3)
platform_addresses = st.sampled_from([frozenset({"192.0.2.1", "2001:db8::1"}), frozenset[str](), None])


def seen(said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None) -> Sighting:
    expected = Expected("shop.example.com", "_platform-verify.shop.example.com", OWN, PLATFORM, ours)
    return sight(expected, [a for a, _ in said], [aaaa for _, aaaa in said])


@given(pairs, platform_addresses)
def test_every_mixture_has_a_sighting_that_can_be_stored(
    said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None
) -> None:
    sighting = seen(said, ours)
    assert sighting.place in get_args(Place)
    assert sighting.who in {"tenant", "operator", "nobody"}
    assert json.loads(json.dumps(sighting.detail)) == sighting.detail
    assert "{" not in sighting.message


@given(pairs, platform_addresses)
def test_it_is_elsewhere_only_where_every_resolver_says_so(
    said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None
) -> None:
    if seen(said, ours).place == "elsewhere":
        assert all(seen([one], ours).place == "elsewhere" for one in said)
        foreign = [any(OTHER in o.chain for o in one if isinstance(o, Definitive)) for one in said]
        for one, at_another in zip(said, foreign, strict=True):
            assert at_another or all(isinstance(outcome, Definitive) for outcome in one)


@given(pairs, platform_addresses, failures)
def test_a_resolver_that_fails_is_never_a_miss(
    said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None, failure: Outcome
) -> None:
    assert seen([*said, (failure, failure)], ours).place != "elsewhere"


@given(pairs, platform_addresses)
def test_one_resolver_that_sees_the_tenants_own_target_is_enough(
    said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None
) -> None:
    at_home = (NoName("r", (OWN,)), NoName("r", (OWN,)))
    sighting = seen([*said, at_home], ours)
    assert (sighting.place, sighting.by_own_target) == ("here", True)


@given(pairs, platform_addresses)
def test_the_order_of_the_resolvers_does_not_matter(
    said: list[tuple[Outcome, Outcome]], ours: frozenset[str] | None
) -> None:
    assert seen(said, ours).place == seen(said[::-1], ours).place


def test_another_tenants_target_that_is_a_cname_to_the_platforms_is_elsewhere() -> None:
    said: list[tuple[Outcome, Outcome]] = [(Answer("r", OURS[:1], (OTHER, PLATFORM)), NoData("r", (OTHER, PLATFORM)))]
    sighting = seen(said, frozenset({"192.0.2.1"}))
    assert (sighting.place, sighting.code) == ("elsewhere", Code.AT_OTHER_TENANT)


def test_every_code_has_a_sentence() -> None:
    assert set(EXPLANATIONS) == set(Code)


def test_nothing_asked_is_nothing_known() -> None:
    assert seen([], frozenset()).place == "unknown"
