from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.feed import (
    AHEAD_LIMIT,
    GROUP_AHEAD_LIMIT,
    GROUPS_LIMIT,
    ID_LIMIT,
    REJECTED_LIMIT,
    Reached,
    Rejected,
    Sighting,
    digest_of,
)

xids = st.integers(0, 2**64 - 1)
counts = st.integers(1, 10_000)
digests = st.builds(digest_of, st.text(max_size=20))
few = st.lists(xids, max_size=GROUP_AHEAD_LIMIT).map(tuple)
many = st.lists(xids, max_size=AHEAD_LIMIT * 3).map(tuple)


def sightings(ahead=many, groups=GROUPS_LIMIT * 3, rejected=REJECTED_LIMIT * 3) -> st.SearchStrategy[Sighting]:
    return st.builds(
        Sighting,
        st.text(max_size=60),
        xids,
        ahead,
        st.none() | st.lists(st.builds(Reached, counts, xids, ahead), max_size=groups).map(tuple),
        st.builds(Rejected, st.dictionaries(digests, counts, max_size=rejected), st.integers(0, 10_000)),
    )


small = sightings(few, GROUPS_LIMIT - 1, REJECTED_LIMIT)


@given(small)
def test_a_sighting_survives_its_payload(sighting: Sighting) -> None:
    received = Sighting.from_payload(sighting.to_payload())
    assert replace(received, envoys=None) == replace(sighting, envoys=None)
    assert sorted(received.envoys or (), key=repr) == sorted(sighting.envoys or (), key=repr)
    assert (received.envoys is None) is (sighting.envoys is None)


@given(sightings(), xids, st.text(max_size=20))
def test_a_payload_never_says_more_than_the_sighting(sighting: Sighting, xid: int, hostname: str) -> None:
    received = Sighting.from_payload(sighting.to_payload())
    assert received.connected == sighting.connected
    for one in {xid, sighting.position, *sighting.ahead, *(group.position for group in sighting.envoys or ())}:
        assert received.has_seen(one) <= sighting.has_seen(one)
        assert received.acknowledged(one) <= sighting.acknowledged(one)
    for digest, number in sighting.rejected.by_digest.items():
        assert max(received.rejected.by_digest.get(digest, 0), received.rejected.others) >= number
    assert received.rejected.of(hostname) >= sighting.rejected.of(hostname)


largest = st.integers(2**64 - 100, 2**64 - 1)


@given(st.lists(largest, min_size=AHEAD_LIMIT * 2, max_size=AHEAD_LIMIT * 2).map(tuple), st.data())
def test_a_payload_fits_into_a_notification(ahead: tuple[int, ...], data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.builds(Reached, st.just(10**9), largest, st.just(ahead)), min_size=40, max_size=40))
    rejected = Rejected({digest_of(str(n)): 10**9 for n in range(REJECTED_LIMIT * 2)}, 10**9)
    sighting = Sighting("\N{CRAB}" * ID_LIMIT * 2, 2**64 - 1, ahead, tuple(groups), rejected)
    assert len(sighting.to_payload().encode()) < 8000


@given(st.one_of(st.text(), st.from_regex(r'\{"id": .*, "position": .*, "ahead": .*\}')))
def test_any_text_is_a_sighting_or_a_value_error(payload: str) -> None:
    with suppress(ValueError):
        assert isinstance(Sighting.from_payload(payload), Sighting)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "position", "ahead", "envoys", "rejected", "x"), values))
)
def test_any_json_is_a_sighting_or_a_value_error(fields: dict[str, Any]) -> None:
    with suppress(ValueError):
        sighting = Sighting.from_payload(json.dumps(fields))
        sighting.acknowledged(7)
        sighting.rejected.of("shop.example.com")


@given(xids, st.lists(xids, max_size=10), xids)
def test_what_was_seen_is_below_the_position_or_ahead(position: int, ahead: list[int], xid: int) -> None:
    assert Sighting("s", position, tuple(ahead)).has_seen(xid) == (xid < position or xid in ahead)


# --- releases side by side


def old_payload(sighting: Sighting) -> str:
    """As the release before said it."""
    fields = {"id": sighting.sidecar, "position": sighting.position, "ahead": sighting.ahead[-AHEAD_LIMIT:]}
    return json.dumps(fields)


def old_reading(payload: str) -> tuple[str, int, tuple[int, ...]]:
    """As the release before read it."""
    fields = json.loads(payload)
    return str(fields["id"]), int(fields["position"]), tuple(int(xid) for xid in fields["ahead"])


@given(sightings())
def test_a_control_of_the_release_before_reads_what_it_knows(sighting: Sighting) -> None:
    assert old_reading(sighting.to_payload()) == (sighting.sidecar, sighting.position, sighting.ahead[-AHEAD_LIMIT:])


@given(small)
def test_a_sidecar_of_the_release_before_says_nothing_of_its_envoys(sighting: Sighting) -> None:
    assert Sighting.from_payload(old_payload(sighting)) == Sighting(sighting.sidecar, sighting.position, sighting.ahead)


@given(small, values)
def test_a_release_to_come_may_add_members(sighting: Sighting, value: Any) -> None:
    payload = json.dumps(json.loads(sighting.to_payload()) | {"to come": value})
    assert Sighting.from_payload(payload) == Sighting.from_payload(sighting.to_payload())
