"""What many measurements come down to. Plain arithmetic on lists; it does not know what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

LADDER = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
"""The percentiles that a distribution keeps, beside its maximum."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed (nearest rank). `ordered` is sorted and not empty."""
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(0, min(len(ordered), rank) - 1)]


@dataclass(frozen=True, slots=True)
class Distribution:
    """`percentiles`: at each step of LADDER. In the unit of the values it was made of."""

    count: int
    mean: float
    percentiles: tuple[float, ...]
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Exact: of all values, sorted. Raises ValueError when there are none."""
        if not values:
            raise ValueError("nothing was measured")
        ordered = sorted(values)
        return cls(
            count=len(ordered),
            mean=statistics.fmean(ordered),
            percentiles=tuple(percentile(ordered, step) for step in LADDER),
            maximum=ordered[-1],
        )

    def at(self, percent: float) -> float:
        """One of LADDER's."""
        return self.percentiles[LADDER.index(percent)]


@dataclass(frozen=True, slots=True)
class Rounds:
    """The same measurement made several times. `value` is the median, `spread` the least and the greatest."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        if not values:
            raise ValueError("nothing was measured")
        return cls(tuple(values))

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def over(self, other: Rounds) -> Rounds:
        """Round by round, because rounds that are neighbours in time had the same machine."""
        return Rounds(tuple(ours / theirs for ours, theirs in zip(self.values, other.values, strict=True)))

    def minus(self, other: Rounds) -> Rounds:
        return Rounds(tuple(ours - theirs for ours, theirs in zip(self.values, other.values, strict=True)))
