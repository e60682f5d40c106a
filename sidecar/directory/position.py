"""How far a reader of the change feed has come, and whether it can go on from there. Pure values, no I/O.

core.feed describes positions by the snapshot's xmin alone. Here the whole snapshot of the last read is kept
(https://www.postgresql.org/docs/18/functions-info.html#FUNCTIONS-PG-SNAPSHOT): what was invisible to it is exactly
the transactions in `xip` and those from `xmax` on. So the next read asks for these and no others, and a transaction
that stays open for hours delays the position but makes no read larger.

Transaction ids are not quite unique: a crashed server, or a standby that was promoted, may hand out again the ids
whose log it never wrote. A change of such a transaction is found by its row id, which is above all seen: sequences
are logged ahead. And a server that was restored from a backup, or lost its last commits to a failover, lacks some of
the last changes that were read here; a new connection asks whether they are still there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Change(NamedTuple):
    """One row of `changes`. `kind`: domain, tenant, challenge or edge (without a key). `at`: microseconds since 1970.

    `ended`: the domain (or, for a slug that went, the tenant) that is not served under `key` any more.
    """

    id: int
    xid: int
    kind: str
    key: str
    at: int
    ended: str | None = None

    @property
    def mark(self) -> Mark:
        return Mark(self.id, self.xid, self.at)


class Mark(NamedTuple):
    """What tells a change from any other, on this server and on one that was restored; nothing of what it was about."""

    id: int
    xid: int
    at: int


@dataclass(frozen=True, slots=True)
class Head:
    """What the server says with every read."""

    feed_id: str
    xmin: int
    xmax: int
    xip: tuple[int, ...]
    pruned_xid: int

    @classmethod
    def parse(cls, feed_id: str, snapshot: str, pruned_xid: int) -> Head:
        """`snapshot`: the text of a pg_snapshot, `xmin:xmax:xip,xip…`. Raises ValueError."""
        xmin, xmax, xip = snapshot.split(":")
        return cls(feed_id, int(xmin), int(xmax), tuple(map(int, xip.split(","))) if xip else (), pruned_xid)


# Whatever a server lost, it lost the commits it made last; these are among the changes that were read last.
RECENT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Position:
    """Every change visible to the snapshot in `head` was applied.

    `last_id`: the highest row id of them. `recent`: those that were read last, at most RECENT_LIMIT, newest last.
    """

    head: Head
    last_id: int = 0
    recent: tuple[Mark, ...] = field(default=(), repr=False)

    def advanced(self, head: Head, changes: Iterable[Change]) -> Position:
        marks = sorted(change.mark for change in changes)
        if not marks:
            return Position(head, self.last_id, self.recent)
        return Position(head, max(self.last_id, marks[-1].id), (*self.recent, *marks)[-RECENT_LIMIT:])

    def reason_to_reload(self, head: Head, missing: Collection[int] = ()) -> str | None:
        """Why the changes after this position would not be all there are; None: they are.

        `missing`: the ids of `recent` that the server does not have, asked for on each new connection; nothing that
        happens to a server leaves the connections to it standing.
        """
        seen = self.head
        if head.feed_id != seen.feed_id:
            return "another_feed"
        if head.xmax < seen.xmax or head.pruned_xid < seen.pruned_xid:
            return "server_went_back"
        # Only what was pruned since the last read can have been unread; and older changes go before newer ones.
        nothing_left = all(mark.id in missing for mark in self.recent)
        if head.pruned_xid > seen.pruned_xid and (head.pruned_xid >= seen.xmin or nothing_left):
            return "changes_pruned"
        if any(mark.xid > head.pruned_xid for mark in self.recent if mark.id in missing):
            return "server_lost_changes"
        return None
