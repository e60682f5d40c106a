"""One pass over a tenant's chain: rows in, findings out. It knows no database, and remembers little of what it saw.

changed      a row, or its seal, is not what was written
removed      a row was written and is not there
reordered    a row stands in another one's place, or after another one than when it was written
unsealed     a row is there that did not come in by the log's own way
unanchored   a chain's head, or a checkpoint, is not what it must be
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from control.audit.canonical import Entry, genesis, seal

# Beyond these a row is only said to be changed, and not searched for in other places.
MOST_COMPARED = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """`tenant_id`: None for a checkpoint. `first`, `last`: places in the tenant's chain, or numbers of checkpoints.

    `audit_id`: of the row, where it is known.
    """

    code: str
    tenant_id: UUID | None
    first: int
    last: int
    message: str
    audit_id: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A seal, and its row if that is there."""

    seq: int
    audit_id: int
    previous: bytes
    hash: bytes
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class End:
    """How far a chain was seen to reach."""

    seq: int
    hash: bytes


class Chain:
    """`head`: the database's own. `point`: the last checkpoint's; None: none has listed it."""

    def __init__(self, tenant_id: UUID, head: End | None, point: End | None) -> None:
        self.tenant_id = tenant_id
        self._head = head
        self._point = point
        self._last = End(0, genesis(tenant_id))
        self._at_point: bytes | None = None
        self._changed: list[Link] = []
        self._broken: list[tuple[int, Link]] = []  # each with the audit_id of what stands before it
        self._before = 0

    @property
    def strays(self) -> set[bytes]:
        """What rows were written after, where that is not what stands before them. `end` is told where it stands."""
        return {link.previous for _, link in self._broken}

    @property
    def is_rewritten(self) -> bool:
        """Whether it was once another one at the place that the checkpoint has listed."""
        return self._point is not None and self._at_point is not None and self._at_point != self._point.hash

    def follow(self, link: Link) -> Iterator[Finding]:
        """The next link, by `seq`."""
        if link.seq > self._last.seq + 1:
            yield self._removed(self._last.seq + 1, link.seq - 1)
        elif link.previous != self._last.hash:
            self._broken.append((self._before, link))
        if link.entry is None:
            yield self._removed(link.seq, link.seq, link.audit_id)
        elif link.entry.tenant_id != self.tenant_id or seal(link.previous, link.entry) != link.hash:
            self._changed.append(link)
        self._last, self._before = End(link.seq, link.hash), link.audit_id
        if self._point is not None and self._point.seq == link.seq:
            self._at_point = link.hash

    def end(self, places: Mapping[bytes, int]) -> Iterator[Finding]:
        """What can only be said once all was seen. `places`: of the strays, where they are in this chain."""
        yield from self._changes()
        for before, link in self._broken:
            if link.previous in places:
                yield self._found("reordered", link, f"was written after what stands at {places[link.previous]}")
            elif link.seq == 1:
                yield self._found("changed", link, "was not written as the first; what came before it was removed")
            else:
                message = "is not what the next row was written after, or a row after it was removed"
                yield Finding("changed", self.tenant_id, link.seq - 1, link.seq - 1, message, before)
        longest = max(end.seq for end in (self._head, self._point, self._last) if end is not None)
        if longest > self._last.seq:
            yield self._removed(self._last.seq + 1, longest)
        if self._head is None:
            yield self._of_head("removed", "the head of the chain is not there")
        elif self._head.seq < self._last.seq:
            yield self._of_head("unanchored", f"the head of the chain says that it ends at {self._head.seq}")
        elif self._head.seq == self._last.seq and self._head.hash != self._last.hash:
            yield self._of_head("changed", "is not what the head of the chain says")

    def _changes(self) -> Iterator[Finding]:
        """A row that does not fit its seal: is what was written there elsewhere?"""
        others = self._changed if len(self._changed) <= MOST_COMPARED else ()
        for link in self._changed:
            place = next(
                (one.seq for one in others if one.entry and seal(link.previous, one.entry, link.audit_id) == link.hash),
                None,
            )
            if place is None or place == link.seq:
                yield self._found("changed", link, "is not what was written")
            else:
                yield self._found("reordered", link, f"was something else; what was written here stands at {place}")

    def _removed(self, first: int, last: int, audit_id: int | None = None) -> Finding:
        return Finding("removed", self.tenant_id, first, last, "was written and is not there", audit_id)

    def _found(self, code: str, link: Link, message: str) -> Finding:
        return Finding(code, self.tenant_id, link.seq, link.seq, message, link.audit_id)

    def _of_head(self, code: str, message: str) -> Finding:
        return Finding(code, self.tenant_id, self._last.seq, self._last.seq, message)
