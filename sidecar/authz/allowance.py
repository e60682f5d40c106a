"""How much of the loop's time each tenant's clients may take: it is everybody's, and who makes a certificate decides
what a look at it costs.

An honest certificate takes 0.3 to 3 ms once. Some that were made for it take 100: many name constraints, keys that lead
round in a circle, another one with each connection. So do authorities with large keys and many lists. Whoever has spent
the tenant's allowance is looked at later.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Seconds of processor time: at one moment, after a restart of all its clients say; and for each second that passes.
BURST: Final = 0.4
RATE: Final = 0.1
# Tenants that are remembered; one that is forgotten has all of its allowance.
REMEMBERED: Final = 2_048


class Allowance:
    """Times are Unix seconds. `burst`: seconds of processor time at one moment."""

    def __init__(self, burst: float = BURST) -> None:
        self._burst = burst
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_spent(self, tenant_id: str, now: float) -> bool:
        return self._left(tenant_id, now) <= 0

    def spend(self, tenant_id: str, now: float, seconds: float) -> None:
        left = self._left(tenant_id, now) - seconds
        self._spent.pop(tenant_id, None)
        self._spent[tenant_id] = (left, now)
        if len(self._spent) > REMEMBERED:
            self._spent.popitem(last=False)

    def _left(self, tenant_id: str, now: float) -> float:
        left, at = self._spent.get(tenant_id, (self._burst, now))
        if at > now:  # the clock was set back: nobody shall wait until it is there again
            return self._burst
        return min(self._burst, left + RATE * (now - at))
