"""How often a peer may do what makes us work for nothing: so many at once, so many a second, so many for real work."""

from __future__ import annotations

from collections.abc import Callable


class Allowance:
    """A token bucket. It does not depend on how the peer's bytes were split, only on what they say and on the clock."""

    __slots__ = ("_at", "_burst", "_clock", "_left", "_per_second")

    def __init__(self, burst: int, per_second: int, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left = float(burst)
        self._at = clock()

    def spend(self, earned: int = 0) -> bool:
        """Take one, `earned` having been added before; False if there is none left."""
        now = self._clock()
        left = min(self._burst, self._left + (now - self._at) * self._per_second + earned)
        self._at = now
        if left < 1.0:
            self._left = left
            return False
        self._left = left - 1.0
        return True
