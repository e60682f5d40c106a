"""The queue of due jobs as control.jobs.Jobs.claim serves it: urgent renewals first, then the others by turns.

Each order of service is a heap; a job that left the queue is passed over when it comes up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush

Urgent = Callable[[int, datetime], bool]
Exempt = Callable[[int, datetime], bool]


class Queue:
    """Of domains by number. `urgent`, `exempt`: of a renewal, at a time."""

    def __init__(self, urgent: Urgent, exempt: Exempt) -> None:
        self._urgent = urgent
        self._exempt = exempt
        self._waiting: dict[int, int] = {}  # domain: which time it waits
        self._times = 0
        self._first: list[tuple[int, int, int]] = []
        self._renewals: list[tuple[datetime, int, int]] = []
        self._spared: list[tuple[datetime, int, int]] = []
        self._under_way: list[tuple[int, int]] = []
        self._last_turn: dict[int, int] = defaultdict(lambda: -2)
        self._odd = 0

    def add_first(self, domain: int, tenant: int) -> None:
        """By start-time fair queueing, as the trigger give_turn does it."""
        times = self._add(domain)
        head = self._head(self._first)
        if head is None:
            self._last_turn.clear()
        turn = max(-1 if head is None else head[0], self._last_turn[tenant] + 1, -1) + 1
        self._last_turn[tenant] = turn + 1
        heappush(self._first, (turn, domain, times))

    def add_renewal(self, domain: int, not_after: datetime) -> None:
        times = self._add(domain)
        heappush(self._renewals, (not_after, domain, times))
        heappush(self._spared, (not_after, domain, times))

    def add_under_way(self, domain: int) -> None:
        """Its order is at the CA."""
        heappush(self._under_way, (domain, self._add(domain)))

    def claim(self, now: datetime, *, room: bool) -> int | None:
        """The next job; without `room` only one that needs none."""
        if self._head(self._under_way) is not None:
            return self._taken(heappop(self._under_way)[0])
        if not room:
            soonest = self._head(self._spared)
            if soonest is not None and self._exempt(soonest[1], now):
                return self._taken(heappop(self._spared)[1])
            return None
        renewal, first = self._head(self._renewals), self._head(self._first)
        if renewal is not None and (first is None or self._urgent(renewal[1], now) or self._every_second()):
            return self._taken(heappop(self._renewals)[1])
        return None if first is None else self._taken(heappop(self._first)[1])

    def __len__(self) -> int:
        return len(self._waiting)

    def _every_second(self) -> int:
        self._odd ^= 1
        return self._odd

    def _add(self, domain: int) -> int:
        self._times += 1
        self._waiting[domain] = self._times
        return self._times

    def _taken(self, domain: int) -> int:
        del self._waiting[domain]
        return domain

    def remove(self, domain: int) -> None:
        self._waiting.pop(domain, None)

    def _head(self, heap: list) -> tuple | None:  # type: ignore[type-arg]  # the last two are the domain and the times
        while heap and self._waiting.get(heap[0][-2]) != heap[0][-1]:
            heappop(heap)
        return heap[0] if heap else None
