"""What is kept of clients has an end, in number and in size; and nobody's clients take all the time of all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.allowance import BURST, RATE, REMEMBERED, Allowance
from sidecar.authz.kept import Kept


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.sampled_from("abc"))),
    st.integers(1, 5),
)
def test_it_holds_no_more_than_it_may_and_whoever_has_most_makes_room(
    steps: list[tuple[int, int, str]], most: int
) -> None:
    kept: Kept[int, int] = Kept(most, 100)
    present: set[int] = set()
    owners: dict[int, str] = {}
    weights: dict[int, int] = {}
    for key, octets, owner in steps:
        before = present | {key}
        kept.keep(key, octets, octets, owner)
        owners[key], weights[key] = owner, octets
        present = {number for number in range(10) if kept.get(number) is not None}
        assert len(kept) == len(present) <= most
        assert sum(weights[number] for number in present) <= 100
        gone = before - present
        for loser in {owners[number] for number in gone}:
            had = [number for number in before if owners[number] == loser]
            for other in {"a", "b", "c"} - {loser}:
                others = [number for number in present if owners[number] == other]
                size = sum(weights[number] for number in others) <= sum(weights[number] for number in had)
                assert size or len(others) <= len(had), "who had less has made room"
    kept.clear()
    assert len(kept) == 0
    kept.keep(1, 100, 100, "a")
    assert kept.get(1) == 100


def test_what_one_has_pushes_out_nothing_of_those_who_have_less() -> None:
    kept: Kept[int, int] = Kept(10, 100)
    kept.keep(0, 0, 30, "victim")
    kept.keep(1, 1, 10, "other")
    for number in range(2, 100):
        kept.keep(number, number, number % 50, "attacker")
    assert (kept.get(0), kept.get(1)) == (0, 1)
    kept.keep(100, 100, 1, "new")
    assert kept.get(100) == 100, "there is room for who comes later"
    assert kept.get(99) == 99, "its own oldest are first out"
    assert kept.get(2) is None


def test_what_is_too_large_by_itself_is_not_kept() -> None:
    kept: Kept[int, int] = Kept(9, 100)
    kept.keep(1, 1, 101, "a")
    assert kept.get(1) is None
    kept.keep(2, 2, 100, "a")
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
