"""What a domain's page reads from findings and from the audit: of whatever shape, nothing breaks it or overflows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from scenes.hierarchy import issue

from api.instructions import Target
from api.service import SSL_STATUSES, STATUSES, Entry
from api.ui.evidence import MOST_RESOLVERS, MOST_VALUES, evidence, together
from api.ui.pages.diagnosis import LONGEST, in_lines
from api.ui.pem import shown
from api.ui.possible import coming, possible
from api.ui.records import host_of, kind_of, steps
from api.ui.timeline import LINES, line, timeline
from control.domains.states import TABLES
from core.domain import CertificateFacts, Domain, Finding, NextAttempt
from core.public_suffix import PublicSuffixes

NOW = datetime(2026, 4, 22, 2, tzinfo=UTC)
SUFFIXES = PublicSuffixes()
TARGETS = [
    Target("custom.platform.io"),
    Target("custom.platform.io", ("76.76.21.21", "76.76.21.22"), ("2001:db8::1",), "acme.platform.io"),
]
words = st.sampled_from(["found", "other", "nodata", "nxdomain", "servfail: DNSSEC Bogus", "timeout", "txt", "new"])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | words, inner, max_size=4),
    max_leaves=12,
)
shaped = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["_platform-verify.shop.mybrand.co", "shop.mybrand.co"]) | json,
        "check": st.sampled_from(["addresses", "ownership", "delegation", "caa"]) | json,
        "found": st.lists(st.text(max_size=300), max_size=30) | json,
        "resolvers": st.dictionaries(st.ip_addresses().map(str), words | json, max_size=30) | json,
        "cname": json,
        "expected": json,
    },
)
findings = st.none() | st.builds(
    lambda code, detail, seconds: Finding(code, "It is so.", "tenant", NOW - timedelta(seconds=seconds), detail),
    st.sampled_from(["txt_found", "addresses_elsewhere", "at_platform", "addresses_propagating"]) | st.text(),
    shaped,
    st.integers(0, 9),
)
facts = CertificateFacts("1", "E7", "00", NOW, NOW + timedelta(days=90))
domains = st.builds(
    lambda **fields: Domain(
        id=UUID(int=1),
        tenant_id=UUID(int=2),
        verification_token="0" * 32,
        cert_expiry=None,
        failure_count=0,
        metadata={},
        created_at=NOW,
        updated_at=NOW,
        deleted_at=None,
        verify_deadline=NOW,
        target_label="t-1",
        acme_label="1" * 32,
        **fields,
    ),
    hostname=st.sampled_from(
        ["shop.mybrand.co", "mybrand.co", "*.mybrand.co", "*.a.shop.mybrand.co.uk", "a.github.io"]
    ),
    status=st.sampled_from(STATUSES),
    ssl_status=st.sampled_from(SSL_STATUSES),
    verified_by=st.sampled_from([None, "txt", "cname"]),
    dns_finding=findings,
    ssl_finding=findings,
    certificate=st.sampled_from([None, facts]),
    uploaded=st.sampled_from([None, facts]),
    renew_at=st.sampled_from([None, NOW]),
    next_attempt=st.none() | st.builds(NextAttempt, st.just(NOW), st.text(), st.text()),
    paused_from=st.sampled_from([None, "issued"]),
)


@given(domains, st.sampled_from(TARGETS), st.none() | st.fixed_dictionaries({"checks": st.lists(shaped) | json}))
def test_records_are_drawn_from_whatever_was_found(
    domain: Domain, target: Target, report: dict[str, Any] | None
) -> None:
    looks = evidence(domain, report, NOW)
    for look in looks.values():
        assert len(look.values) <= MOST_VALUES and len(look.sights) <= MOST_RESOLVERS
        assert look.seeing <= len(look.sights)
    told = steps(domain, target, looks, SUFFIXES.registered_domain)
    records = [record for step in told for record in (*step.records, *step.others)]
    assert told[0].records[0].value == domain.txt_value
    assert len({record.id for record in records}) == len(records)
    zone = SUFFIXES.registered_domain(domain.hostname.removeprefix("*."))
    for record in records:
        assert record.words
        full = zone if record.host == "@" else f"{record.host}.{zone}"
        assert record.name in (full, record.host)
        if record.type == "CNAME":
            assert record.name != zone  # no DNS server takes a CNAME beside SOA and NS


@given(domains, st.sampled_from([NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)]))
def test_buttons_and_what_comes_are_told_of_every_domain(domain: Domain, now: datetime) -> None:
    can = possible(domain)
    assert not (can.pause and domain.paused_from is not None)
    assert not (can.renew and domain.status != "active")
    assert can.resume or domain.status != "failed"
    if (next_one := coming(domain, now)) is not None:
        assert next_one.text
        assert next_one.at is None or next_one.at > now


def test_the_kinds_of_names() -> None:
    assert kind_of("mybrand.co.uk", "mybrand.co.uk") == "apex"
    assert kind_of("shop.mybrand.co", "mybrand.co") == "subdomain"
    assert kind_of("*.mybrand.co", "mybrand.co") == "wildcard"
    assert host_of("mybrand.co", "mybrand.co") == "@"
    assert host_of("*.shop.mybrand.co", "mybrand.co") == "*.shop"
    assert host_of("notmybrand.co", "mybrand.co") == "notmybrand.co"


@given(st.lists(st.sampled_from(["found", "spreading", "other", "missing", "unknown", "unchecked"])))
def test_resolvers_together_are_right_only_where_all_that_can_tell_are(states: list[Any]) -> None:
    told = {one for one in states if one not in ("unknown", "unchecked")}
    assert (together(states) == "found") == (told == {"found"})
    assert (together(states) == "unknown") == (not told or told == {"spreading"})


certificate, other_key = issue("mine"), issue("theirs").key_pem
secret = other_key.splitlines()[1]
pieces = st.sampled_from(
    [certificate.pem, other_key, certificate.pem.replace("CERTIFICATE", "PRIVATE KEY"),
     other_key.replace("PRIVATE KEY", "CERTIFICATE"), other_key[20:], certificate.pem[:-9], "words\n",
     f"-----BEGIN CERTIFICATE-----\n{other_key}-----END CERTIFICATE-----\n"]
)  # fmt: skip


@given(st.lists(pieces | st.text(), max_size=6))
def test_no_key_comes_back_from_any_field(given_pieces: list[str]) -> None:
    for label in ("CERTIFICATE", "X509 CRL"):
        assert secret not in shown("".join(given_pieces), label)
    assert shown(certificate.pem + other_key, "CERTIFICATE") == certificate.pem


@given(json)
def test_what_a_check_expected_and_found_is_told_in_lines(value: Any) -> None:
    assert len(in_lines(value)) <= LONGEST


def test_lines_are_read_as_people_read_them() -> None:
    found = {"A": ["192.0.2.7", "192.0.2.8"], "AAAA": [], "resolvers": {"A": {"x": "found", "y": "nodata"}}, "ok": None}
    assert in_lines(found) == "A: 192.0.2.7, 192.0.2.8\nresolvers:\n  A:\n    x: found\n    y: nodata"


entries = st.builds(
    Entry,
    st.integers(0),
    st.just(NOW),
    st.text(),
    st.sampled_from(["tenant:alice", "control:one", "operator:bob"]) | st.text(),
    st.sampled_from(sorted(LINES)) | st.text(),
    st.dictionaries(st.sampled_from(["by", "issuer", "not_after", "finding", "sidecars", "side"]), json),
)


@given(st.lists(entries, max_size=12))
def test_every_entry_is_in_the_timeline(history: list[Entry]) -> None:
    lines = timeline(history)
    assert sum(one.times for one in lines) == len(history)
    assert all(one.text for one in lines)
    assert not any("control" in one.by or "operator" in one.by for one in lines if not one.by.startswith("alice"))


def test_every_action_of_the_machines_has_words_without_code() -> None:
    actions = {step.action for table in TABLES.values() for step in table.values()}
    assert actions <= LINES.keys()
    for words_, _ in LINES.values():
        assert not re.search(r"[a-z]_[a-z]", words_)


def test_the_same_again_and_again_is_one_line() -> None:
    again = [Entry(9 - n, NOW, "h", "control", "ssl_preflight", {"finding": "name_missing"}) for n in range(3)]
    (only,) = timeline(again)
    assert (only.times, only.id) == (3, 9)
    assert only.more == "It does not exist in DNS yet."


def test_what_an_entry_says_in_words() -> None:
    told = line(Entry(1, NOW, "h", "tenant:alice", "ssl_issue", {"issuer": "E7", "not_after": "2026-07-21T01:02:39"}))
    assert (told.text, told.by, told.more) == (
        "Its certificate was issued",
        "alice",
        "Issued by E7. Valid until 21 July 2026.",
    )
