"""How the number of users goes over time, as `--shape` names it; without one, Locust's own -u and -r."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from locust import LoadTestShape

STEPS = 5

Shape = Callable[[float, int], int]
"""Part of the run that is over (0 to 1), the greatest number of users → the users now."""


def ramp(part: float, most: int) -> int:
    """Evenly up to the end."""
    return max(1, round(part * most))


def steps(part: float, most: int) -> int:
    """In five equal steps."""
    return max(1, (int(part * STEPS) + 1) * most // STEPS)


def spike(part: float, most: int) -> int:
    """A tenth, for the middle fifth all, a tenth."""
    return most if 0.4 <= part < 0.6 else max(1, most // 10)


SHAPES: Mapping[str, Shape] = {"ramp": ramp, "steps": steps, "spike": spike}


class Shaped(LoadTestShape):
    """`shape` over `seconds` with at most `most` users; then the run is over."""

    def __init__(self, shape: Shape, most: int, seconds: float) -> None:
        super().__init__()
        self._shape, self._most, self._seconds = shape, most, seconds

    def tick(self) -> tuple[int, float] | None:
        part = self.get_run_time() / self._seconds
        if part >= 1:
            return None
        return self._shape(part, self._most), float(self._most)
