from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from core.feed import AHEAD_LIMIT, Sighting

xids = st.integers(0, 2**64 - 1)


@given(st.text(max_size=60), xids, st.lists(xids, max_size=AHEAD_LIMIT))
def test_a_sighting_survives_its_payload(sidecar: str, position: int, ahead: list[int]) -> None:
    sighting = Sighting(sidecar, position, tuple(ahead))
    assert Sighting.from_payload(sighting.to_payload()) == sighting


@given(xids, st.lists(xids, min_size=AHEAD_LIMIT, max_size=AHEAD_LIMIT * 3))
def test_a_payload_fits_into_a_notification(position: int, ahead: list[int]) -> None:
    assert len(Sighting("s" * 60, position, tuple(ahead)).to_payload().encode()) < 8000


@given(st.one_of(st.text(), st.from_regex(r'\{"id": .*, "position": .*, "ahead": .*\}')))
def test_any_text_is_a_sighting_or_a_value_error(payload: str) -> None:
    with suppress(ValueError):
        assert isinstance(Sighting.from_payload(payload), Sighting)


@given(xids, st.lists(xids, max_size=10), xids)
def test_what_was_seen_is_below_the_position_or_ahead(position: int, ahead: list[int], xid: int) -> None:
    assert Sighting("s", position, tuple(ahead)).has_seen(xid) == (xid < position or xid in ahead)
