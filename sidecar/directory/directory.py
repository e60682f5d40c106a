"""Hostname → tenant, in memory. Synchronous, no I/O; it does not know where its rows come from.

It is in one of two modes, told apart by what holds the rows (sidecar.directory.rows):
- *complete*: it holds every name there is, so a name that is not in it is known to be absent;
- incomplete, at most `capacity` rows: a row is held, or remembered as absent for a short time, or not known.
Absence is remembered by row (`shop.example.com`, `*.example.com`), not by answer, so a change of one row needs to
drop nothing but that row, be it a wildcard or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager

from cachetools import TTLCache

from sidecar.directory.entry import Entry, PlatformDomain, Unknown, wildcard_of
from sidecar.directory.loads import Load, Loads
from sidecar.directory.rows import Everything, Recent, Rows

# The feed drops a remembered absence at once, so this only bounds the memory of names that stay absent.
NEGATIVE_SECONDS = 30.0
NEGATIVE_CAPACITY = 100_000

# Names asked for lately that are found without going through all. A thousand busy names among a million lie each in
# pages of memory of its own, which the processor then looks for again and again; side by side they stay in its caches.
BUSY_NAMES = 4_096


class Directory:
    """`capacity`: rows in memory, platform subdomains included. `clock`: monotonic seconds."""

    def __init__(self, platform: PlatformDomain, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.platform = platform
        self.capacity = capacity
        self.complete = False
        self.loaded = False  # something was read, from PostgreSQL or the snapshot
        self.hits = 0
        self.misses = 0
        self.negatives = 0
        self._clock = clock
        self._rows: Rows = Recent(capacity)
        self._busy: dict[str, Entry] = {}  # some of `_rows`, while complete
        self._absent: TTLCache[str, None] = TTLCache(NEGATIVE_CAPACITY, NEGATIVE_SECONDS, clock)
        self._loads = Loads()
        self._fresh_until = -math.inf

    def lookup(self, host: str) -> Entry | Unknown:
        """The row that answers for `host` (normal form), in the order that `entry` gives."""
        answer = self._busy.get(host)
        if answer is not None:
            self.hits += 1
            return answer
        answer = self._rows.get(host)
        if answer is not None:
            self.hits += 1
            if self.complete:
                if len(self._busy) >= BUSY_NAMES:
                    self._busy.clear()
                self._busy[host] = answer
            return answer
        found = self._find_without_exact(host)
        if found is Unknown.ABSENT:
            self.negatives += 1
        elif found is Unknown.MISS:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def find(self, host: str) -> Entry | Unknown:
        """As `lookup`, but not counted: for those who look again."""
        return self._rows.get(host) or self._find_without_exact(host)

    @property
    def stale(self) -> bool:
        """Changes may have been made that are not in it."""
        return self._clock() > self._fresh_until

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def overflowing(self) -> bool:
        """It grew above its capacity while complete: whoever fills it must do so anew."""
        return self.complete and len(self._rows) > self.capacity

    def held(self) -> list[str]:
        """The hostnames in memory, as they are now."""
        return list(self._rows)

    def peek(self, hostname: str) -> Entry | None:
        """The row of that very name, without making it more recently used."""
        return self._rows.peek(hostname)

    def rows(self) -> Iterator[Entry]:
        """The rows in memory now. It may be gone through slowly: a row changed meanwhile comes as it is by then."""
        return _present(self._rows, self.held())

    def apply(self, facts: Mapping[str, Entry | None]) -> None:
        """What the feed read after a change; None: there is no such row. Overtakes the loads of these rows."""
        self._remember(facts)
        self._loads.overtake(facts.keys())

    def loading(self, keys: Collection[str]) -> AbstractContextManager[Load]:
        """Announce a load of rows; it may `remember` what it found unless it was overtaken."""
        return self._loads.begin(keys)

    def remember(self, facts: Mapping[str, Entry | None]) -> None:
        """What a load found, in the step in which it saw that it was not overtaken."""
        self._remember(facts)

    def distrust(self) -> None:
        """Whoever reads everything anew has begun to: what was read before, and is not held, is not to be held."""
        self._loads.overtake_all()
        self._absent.clear()

    def replace(self, rows: Rows) -> Rows:
        """Swap all rows, and return those before. Overtakes every load."""
        before, self._rows = self._rows, rows
        self._busy.clear()
        self.complete = isinstance(rows, Everything)
        self.loaded = True
        self.distrust()
        return before

    def fill(self, facts: Mapping[str, Entry]) -> bool:
        """Hold rows that nobody asked for, behind those that somebody did; False: no more of them fit."""
        rows = self._rows
        for hostname, entry in facts.items():
            if rows.peek(hostname) is None and not (isinstance(rows, Recent) and rows.put_last(hostname, entry)):
                return False
        return True

    def fresh_for(self, seconds: float) -> None:
        """Everything up to now was read; without another word it is stale after `seconds` (0: at once)."""
        self._fresh_until = self._clock() + seconds if seconds else -math.inf

    def _find_without_exact(self, host: str) -> Entry | Unknown:
        rows = self._rows
        if self.complete:
            answer = rows.get(wildcard_of(host))
            return Unknown.ABSENT if answer is None or self.platform.owns(host) else answer
        for key in self.platform.keys(host):
            answer = rows.get(key)
            if answer is not None:
                return answer
            if key not in self._absent:
                return Unknown.MISS
        return Unknown.ABSENT

    def _remember(self, facts: Mapping[str, Entry | None]) -> None:
        rows = self._rows
        for key, entry in facts.items():
            self._busy.pop(key, None)
            if entry is not None:
                rows.put(key, entry)
            else:
                rows.drop(key)
        if not self.complete:
            for key, entry in facts.items():
                if entry is not None:
                    self._absent.pop(key, None)
                else:
                    self._absent[key] = None


def _present(rows: Rows, hostnames: list[str]) -> Iterator[Entry]:
    """Of these rows, whatever the directory holds by then: so what is said of them as a whole stays true."""
    for hostname in hostnames:
        if (entry := rows.peek(hostname)) is not None:
            yield entry
