"""How long a client's acknowledgement is waited for while there is something to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Seconds until a client that does not acknowledge is written to all the same. A handshake may be waiting, and Envoy
# gives those 5 s.
ACK_PATIENCE: Final = 2.0


class Patience:
    """`clock`: the loop's. `until`: when it is over, or None while nothing waits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.until: float | None = None

    def exhausted(self, *, blocked: bool) -> bool:
        """`blocked`: there is something to write, and it waits for an acknowledgement; since when is kept here."""
        if not blocked:
            self.until = None
        elif self.until is None:
            self.until = self._clock() + ACK_PATIENCE
        elif self._clock() >= self.until:
            self.until = None
            return True
        return False
