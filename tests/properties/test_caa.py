"""Rules that hold for any set of CAA records."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from control.dns.caa import CaaRecord, Grant, climb, permits

CA = "ca.example"
ACCOUNT = "https://ca.example/acct/1"

parts = st.sampled_from(
    [CA, "other.example", "", ";", " ", "; ", f"accounturi={ACCOUNT}", "accounturi=x", "validationmethods=http-01"]
)
values = st.lists(parts, max_size=5).map(lambda some: "".join(some).encode()) | st.binary(max_size=40)
tags = st.sampled_from(["issue", "issuewild", "iodef", "tbs"])
records = st.builds(CaaRecord, st.integers(0, 255), tags, values)
sets = st.lists(records, max_size=6)


def permitted(found: list[CaaRecord], *, wildcard: bool = False, identity: str = CA) -> bool:
    return permits(found, [identity], wildcard=wildcard, account_url=ACCOUNT, method="http-01").permitted


@given(records)
def test_presentation_form_is_read_back(record: CaaRecord) -> None:
    assert CaaRecord.parse(record.text.encode()) == record


@given(st.binary())
def test_any_value_is_read_without_an_error(value: bytes) -> None:
    grant = Grant.parse(value)
    assert grant is None or ";" not in grant.issuer


@given(sets, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(found: list[CaaRecord], wildcard: bool, random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert permitted(found, wildcard=wildcard) == permitted(shuffled, wildcard=wildcard)


@given(sets, st.booleans())
def test_naming_the_ca_permits_unless_a_critical_property_is_unknown(found: list[CaaRecord], wildcard: bool) -> None:
    grant = CaaRecord(0, "issuewild" if wildcard else "issue", CA.encode())
    critical = any(one.flags & 129 and one.tag == "tbs" for one in found)
    assert permitted([*found, grant], wildcard=wildcard) == (not critical)


@given(sets, st.booleans())
def test_a_ca_that_is_named_nowhere_is_permitted_only_where_nothing_restricts(
    found: list[CaaRecord], wildcard: bool
) -> None:
    restricts = any(
        one.tag == "issue" or (wildcard and one.tag == "issuewild") or (one.tag == "tbs" and one.flags & 129)
        for one in found
    )
    assert permitted(found, wildcard=wildcard, identity="nowhere.test") == (not restricts)


@given(sets)
def test_issuewild_says_nothing_of_a_name_that_is_no_wildcard(found: list[CaaRecord]) -> None:
    without = [one for one in found if one.tag != "issuewild"]
    assert permitted(found) == permitted(without)


@given(sets, st.booleans())
def test_what_decides_is_of_the_set(found: list[CaaRecord], wildcard: bool) -> None:
    verdict = permits(found, [CA], wildcard=wildcard, account_url=ACCOUNT, method="http-01")
    assert verdict.record is None or verdict.record in found


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=2, max_size=20))
def test_each_step_of_the_climb_is_the_parent_of_the_one_before(labels: list[str]) -> None:
    steps = climb(".".join(labels))
    assert len(steps) == len(labels)
    assert all(below.partition(".")[2] == above for below, above in pairwise(steps))
