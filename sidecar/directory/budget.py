"""A token bucket: how many loads a second PostgreSQL may be asked for, whatever strangers send."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """`rate` a second, and no more than a second's worth saved up. `clock`: monotonic seconds."""

    __slots__ = ("_at", "_clock", "_left", "rate", "refused")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.refused = 0
        self._clock = clock
        self._left = rate
        self._at = clock()

    def take(self) -> bool:
        """Spend one; False if there is none."""
        now = self._clock()
        self._left = min(self.rate, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
