"""What is kept of clients has an end, in number and in size; and nobody's clients take all the time of all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.allowance import BURST, RATE, REMEMBERED, Allowance
from sidecar.authz.kept import Kept


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))), st.integers(1, 5))
def test_it_holds_no_more_than_it_may_and_the_newest(steps: list[tuple[int, int]], most: int) -> None:
    kept: Kept[int, int] = Kept(most, 100)
    expected: dict[int, int] = {}
    for key, octets in steps:
        kept.keep(key, octets, octets)
        expected.pop(key, None)
        expected[key] = octets
        while len(expected) > most or sum(expected.values()) > 100:
            del expected[next(iter(expected))]
        assert {key: kept.get(key) for key in range(10) if kept.get(key) is not None} == expected
        assert len(kept) == len(expected)
    kept.clear()
    assert len(kept) == 0
    kept.keep(1, 100, 100)
    assert kept.get(1) == 100


def test_what_is_too_large_by_itself_is_not_kept() -> None:
    kept: Kept[int, int] = Kept(9, 100)
    kept.keep(1, 1, 101)
    assert kept.get(1) is None
    kept.keep(2, 2, 100)
    assert kept.get(2) == 2


def test_an_allowance_is_spent_and_comes_back() -> None:
    allowance = Allowance()
    assert not allowance.is_spent("a", 0.0)
    allowance.spend("a", 0.0, BURST + RATE)
    assert allowance.is_spent("a", 0.5)
    assert not allowance.is_spent("b", 0.5)
    assert not allowance.is_spent("a", 1.5)
    assert not allowance.is_spent("a", 1e9)
    allowance.spend("a", 1e9, BURST)
    assert allowance.is_spent("a", 1e9)
    assert not allowance.is_spent("a", 0.0), "the clock was set back"


def test_it_forgets_who_has_spent_longest_ago() -> None:
    allowance = Allowance()
    for number in range(REMEMBERED + 1):
        allowance.spend(str(number), 0.0, BURST)
    assert not allowance.is_spent("0", 0.0)
    assert allowance.is_spent("1", 0.0)
