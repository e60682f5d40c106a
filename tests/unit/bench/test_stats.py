from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import LADDER, Distribution, Rounds, percentile

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(values, st.sampled_from(LADDER))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(measured: list[float], percent: float) -> None:
    ordered = sorted(measured)
    found = percentile(ordered, percent)
    assert found in measured
    at_or_below = sum(value <= found for value in measured)
    below = sum(value < found for value in measured)
    assert at_or_below >= percent / 100 * len(measured)
    assert below < percent / 100 * len(measured)


@given(values)
def test_a_distribution_rises_to_its_maximum(measured: list[float]) -> None:
    found = Distribution.of(measured)
    assert list(found.percentiles) == sorted(found.percentiles)
    assert found.percentiles[-1] <= found.maximum == max(measured)
    assert found.at(50) == percentile(sorted(measured), 50)


def test_nothing_measured_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Distribution.of([])
    with pytest.raises(ValueError, match="nothing"):
        Rounds.of([])


def test_the_value_of_rounds_is_their_median_and_the_spread_their_ends() -> None:
    rounds = Rounds.of([5.0, 1.0, 9.0])
    assert rounds.value == 5.0
    assert rounds.spread == (1.0, 9.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, theirs = Rounds.of([1.0, 10.0, 3.0]), Rounds.of([2.0, 20.0, 12.0])
    assert ours.over(theirs).values == (0.5, 0.5, 0.25)
    assert theirs.minus(ours).values == (1.0, 10.0, 9.0)


def test_rounds_of_different_numbers_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        Rounds.of([1.0]).over(Rounds.of([1.0, 2.0]))
