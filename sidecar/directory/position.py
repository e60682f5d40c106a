"""How far a reader of the change feed has come, and whether it can go on from there. Pure values, no I/O.

core.feed describes positions by the snapshot's xmin alone. Here the whole snapshot of the last read is kept
(https://www.postgresql.org/docs/18/functions-info.html#FUNCTIONS-PG-SNAPSHOT): what was invisible to it is exactly
the transactions in `xip` and those from `xmax` on. So the next read asks for these and no others, and a transaction
that stays open for hours delays the position but makes no read larger.

Transaction ids are not quite unique: a crashed server, or a standby that was promoted, may hand out again the ids
whose log it never wrote. A change of such a transaction is found by its row id, which is above the last one seen:
sequences are logged ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Change(NamedTuple):
    """One row of `changes`. `kind`: domain, tenant or challenge. `at`: microseconds since 1970."""

    id: int
    xid: int
    kind: str
    key: str
    at: int

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


@dataclass(frozen=True, slots=True)
class Position:
    """Every change visible to the snapshot in `head` was applied; `last` is the one with the highest id so far."""

    head: Head
    last: Mark | None = None

    def advanced(self, head: Head, changes: Iterable[Change]) -> Position:
        marks = [change.mark for change in changes]
        if self.last is not None:
            marks.append(self.last)
        return Position(head, max(marks, default=None))

    def reason_to_reload(self, head: Head, knows_last: bool) -> str | None:
        """Why the changes after this position would not be all there are; None: they are.

        `knows_last`: the server has the change `last`; False too if there is no `last`.
        """
        seen = self.head
        if head.feed_id != seen.feed_id:
            return "another_feed"
        if head.xmax < seen.xmax or head.pruned_xid < seen.pruned_xid:
            return "server_went_back"
        # Only what was pruned since the last read can have been unread. Older changes are pruned before newer ones.
        if head.pruned_xid > seen.pruned_xid and (head.pruned_xid >= seen.xmin or not knows_last):
            return "changes_pruned"
        if self.last is not None and not knows_last and self.last.xid > head.pruned_xid:
            return "server_lost_changes"
        return None
