"""Rules that hold for any mixture of resolvers' outcomes and of what was found on port 80."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address

from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st
from scenes.preflight import NOW

from control.dns.outcome import Answer, Definitive, Malformed, NoData, NoName, Outcome, Refused, ServFail, Timeout
from control.preflight import addresses, caa, dnssec, port80
from control.preflight.addresses import Platform
from control.preflight.probe import Probe, Result
from control.preflight.questions import found
from control.preflight.report import CaFacts, Report

HOST = "shop.example"
TARGET = "t-1.custom.platform.io"
OURS = frozenset({ip_address("192.0.2.1"), ip_address("2001:db8::1")})
PLATFORM = Platform(TARGET, "custom.platform.io", OURS)
FACTS = (CaFacts("https://a.test/", ("a.test",), "https://a.test/1"), CaFacts("https://b.test/", ("b.test",)))

failures: st.SearchStrategy[Outcome] = st.sampled_from(
    [ServFail("r"), ServFail("r", "dnssec_bogus"), Refused("r"), Timeout("r"), Malformed("r")]
)
chains = st.lists(st.sampled_from([TARGET, "elsewhere.example"]), max_size=2).map(tuple)


def answering(values: Sequence[bytes]) -> st.SearchStrategy[Outcome]:
    some = st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)
    return st.one_of(
        failures,
        st.builds(Answer, st.just("r"), some, chains),
        st.builds(NoName, st.just("r"), chains),
        st.builds(NoData, st.just("r"), chains),
    )


v4 = answering([b"192.0.2.1", b"198.51.100.7", b"198.51.100.8"])
v6 = answering([b"2001:db8::1", b"2001:db8::7"])
pairs = st.lists(st.tuples(v4, v6), min_size=1, max_size=4)
behind = st.sets(st.sampled_from([ip_address("198.51.100.7"), ip_address("2001:db8::7"), ip_address("192.0.2.1")]))
records = answering([b'0 issue "a.test"', b'0 issue "b.test"', b'0 issue ";"', b'128 tbs "x"', b"no record"])
climbs = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(records, min_size=n, max_size=n), min_size=1, max_size=4)
)
results: st.SearchStrategy[Result] = st.sampled_from(
    ["answered", "wrong_answer", "redirected", "unreachable", "forbidden", "untried"]
)


@given(pairs, behind, st.booleans())
def test_addresses_are_judged_whatever_the_resolvers_say(pairs, behind, harmless) -> None:
    a, aaaa = [one for one, _ in pairs], [one for _, one in pairs]
    check = addresses.examine(HOST, PLATFORM, a, aaaa, behind, harmless=harmless)
    json.dumps(check.to_json())
    assert not (check.ok and check.blocking)
    assert not (harmless and check.blocking)
    assert "{" not in check.message
    strange = addresses.foreign(PLATFORM, [*a, *aaaa])
    if check.ok:
        assert not strange
        assert any(isinstance(one, Answer) for one in (*a, *aaaa))
    if strange and not strange <= behind and not harmless:
        assert check.blocking
    if found([*a, *aaaa]) and strange <= behind and strange:
        assert not check.blocking


@given(pairs, behind, st.randoms(use_true_random=False))
def test_the_order_of_resolvers_does_not_matter_for_addresses(pairs, behind, random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    codes = {
        addresses.decide(PLATFORM, [one for one, _ in some], [one for _, one in some], behind)
        for some in (pairs, shuffled)
    }
    assert len(codes) == 1


@given(pairs, st.lists(st.tuples(failures, failures), max_size=3), behind)
def test_resolvers_that_fail_change_nothing_where_others_answer(pairs, failing, behind) -> None:
    definitive = [pair for pair in pairs if all(isinstance(one, Definitive) for one in pair)]
    if definitive:
        codes = {
            addresses.decide(PLATFORM, [one for one, _ in some], [one for _, one in some], behind)
            for some in (definitive, [*failing, *definitive])
        }
        assert len(codes) == 1


@given(climbs, st.sampled_from([HOST, "*.example"]), st.sampled_from(["http-01", "dns-01"]))
def test_caa_is_judged_whatever_the_resolvers_say(climbs, hostname, challenge) -> None:
    climbed = [(f"{number}.example", outcomes) for number, outcomes in enumerate(climbs)]
    check, usable = caa.examine(hostname, FACTS, climbed, challenge)
    json.dumps(check.to_json())
    assert check.blocking == (not usable)
    assert check.ok == (len(usable) == len(FACTS) and check.code != "caa_unknown")
    assert "{" not in check.message
    assert set(usable) <= {one.directory_url for one in FACTS}


@given(climbs, records)
def test_one_more_resolver_never_makes_more_cas_usable(climbs, outcome) -> None:
    """Unless none could tell before."""
    climbed = [(f"{number}.example", outcomes) for number, outcomes in enumerate(climbs)]
    more = [(name, [*outcomes, outcome]) for name, outcomes in climbed]
    before, after = (caa.examine(HOST, FACTS, one, "http-01") for one in (climbed, more))
    if before[0].code not in {"caa_unreadable", "caa_unknown"}:
        assert set(after[1]) <= set(before[1])


@given(st.lists(v4, min_size=1, max_size=3), st.lists(v6, min_size=1, max_size=3), st.booleans(), st.data())
def test_resolution_is_judged_whatever_the_resolvers_say(a, aaaa, answered, data) -> None:
    asked = {(HOST, RdataType.A): a, (HOST, RdataType.AAAA): aaaa}
    again = {
        key: data.draw(st.lists(st.tuples(v4, v4), min_size=len(outcomes), max_size=len(outcomes)))
        for key, outcomes in asked.items()
        if any(isinstance(one, ServFail) for one in outcomes)
    }
    check = dnssec.examine(HOST, asked, list(asked), again, answered=answered)
    json.dumps(check.to_json())
    everything = [*a, *aaaa]
    assert check.ok == all(isinstance(one, Definitive) for one in everything)
    if any(isinstance(one, ServFail) and one.reason == "dnssec_bogus" for one in everything):
        assert check.code == "dnssec_bogus"
    if not any(isinstance(one, ServFail) for one in everything):
        assert check.code != "dnssec_bogus"
        assert not (check.blocking and not answered)


@given(st.lists(st.tuples(st.sampled_from([*OURS, ip_address("198.51.100.7")]), results), max_size=5))
def test_port_80_passes_exactly_when_every_address_answers(some) -> None:
    probes = [Probe(address, result) for address, result in some if (address, result) not in own_forbidden()]
    check = port80.examine(HOST, probes, OURS)
    json.dumps(check.to_json())
    tried = [one for one in probes if one.result != "untried"]
    assert check.ok == (bool(tried) and all(one.result == "answered" for one in tried))
    if any(one.result != "answered" and one.address not in OURS for one in tried):
        assert check.blocking
        assert check.who == "tenant"
    finding = Report([check], ()).finding(NOW)
    assert (finding is not None) == check.blocking


def own_forbidden() -> set[tuple[object, str]]:
    """The platform's own addresses are never forbidden."""
    return {(address, "forbidden") for address in OURS}


@given(st.sets(st.ip_addresses(), max_size=30))
def test_a_few_addresses_of_each_family_are_tried(there) -> None:
    chosen = port80.chosen(there)
    assert len(chosen) == sum(min(port80.MOST, len([a for a in there if a.version == v])) for v in (4, 6))
    assert set(chosen) <= there
