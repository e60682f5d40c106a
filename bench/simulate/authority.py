"""A CA with the limits of Let's Encrypt, strict, and written without a look at ours: it counts credit, in microseconds.

It takes an order, validates, and issues; when a limit is reached it refuses, and counts that it had to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Window = tuple[datetime, datetime]


class Credit:
    """`count` uses in any `period`, of which one comes back in each `period / count`."""

    __slots__ = ("_at", "_credit", "_most", "_price")

    def __init__(self, count: int, period: timedelta, now: datetime) -> None:
        self._price = period // MICROSECOND // count
        self._most = self._price * count
        self._credit = self._most
        self._at = now

    def has_one(self, now: datetime) -> bool:
        if now > self._at:  # two orders may overtake each other on their way
            self._credit = min(self._most, self._credit + (now - self._at) // MICROSECOND)
            self._at = now
        return self._credit >= self._price

    def use(self, now: datetime) -> None:
        """Below nothing there is nothing."""
        self.has_one(now)
        self._credit = max(0, self._credit - self._price)


class RateLimited(Exception):
    """`limit`: which."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(slots=True)
class ModelCa:
    """`lifetime`: of a certificate issued then. `outages`: when it answers nothing. `renewal_information`: it suggests
    windows. `orders`, `refusals`, `failures`: what came of what it was asked.
    """

    lifetime: Callable[[datetime], timedelta]
    outages: Sequence[Window]
    renewal_information: bool
    orders: int = 0
    issued: int = 0
    exempt: int = 0
    failures: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    _credits: dict[tuple[str, str], Credit] = field(default_factory=dict)
    _in_row: Counter[str] = field(default_factory=Counter)

    def is_away(self, now: datetime) -> bool:
        return any(start <= now < end for start, end in self.outages)

    def new_order(self, name: str, registered: str, now: datetime, replaced: Window | None) -> None:
        """`replaced`: the window that was suggested for the certificate which the order names. Raises RateLimited."""
        self.orders += 1
        if replaced is not None and replaced[0] <= now <= replaced[1]:
            self.exempt += 1
            return
        if self._in_row[name] >= 1152:
            self._refuse("paused")
        if not self._credit("failed", name, 5, HOUR, now).has_one(now):
            self._refuse("failed authorizations")
        if not self._credit("domain", registered, 50, 7 * DAY, now).has_one(now):
            self._refuse("registered domain")
        if not self._credit("set", name, 5, 7 * DAY, now).has_one(now):
            self._refuse("exact set")
        account = self._credit("account", "", 300, 3 * HOUR, now)
        if not account.has_one(now):
            self._refuse("new orders")
        account.use(now)

    def failed(self, name: str, now: datetime) -> None:
        """The name did not lead to us."""
        self.failures += 1
        self._in_row[name] += 1
        self._credit("failed", name, 5, HOUR, now).use(now)

    def issue(self, name: str, registered: str, now: datetime, *, renewal: bool) -> tuple[datetime, datetime]:
        """not_before and not_after."""
        self.issued += 1
        self._in_row.pop(name, None)
        if not renewal:
            self._credit("domain", registered, 50, 7 * DAY, now).use(now)
        self._credit("set", name, 5, 7 * DAY, now).use(now)
        start = now - HOUR
        return start, start + self.lifetime(now)

    def window(self, not_before: datetime, not_after: datetime) -> Window | None:
        """Two days around two thirds of the lifetime."""
        if not self.renewal_information:
            return None
        middle = not_after - (not_after - not_before) / 3
        return middle - DAY, middle + DAY

    def _credit(self, limit: str, key: str, count: int, period: timedelta, now: datetime) -> Credit:
        found = self._credits.get((limit, key))
        if found is None:
            found = self._credits[limit, key] = Credit(count, period, now)
        return found

    def _refuse(self, limit: str) -> None:
        self.refusals[limit] += 1
        raise RateLimited(limit)
