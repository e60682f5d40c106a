"""What is read of the change feed, taken into what is in memory: changes one by one, or all rows anew where it must be.

read      nothing was read yet, or rows had no room → anew · what a snapshot lacks · the changes since → applied
apply     the rows that changes are about, as they are now · what has ended is told first, then who holds them
anew      all of it in one snapshot of the database; what turns out to be different is told of
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

import structlog

from core.feed import AHEAD_LIMIT
from sidecar.directory import challenges as challenge_limits
from sidecar.directory.audience import ANY_NAME, Audience
from sidecar.directory.challenges import Challenges
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry
from sidecar.directory.position import Change, Position
from sidecar.directory.reader import Reader
from sidecar.directory.reload import in_slices, read_anew
from sidecar.edge.reader import EDGE, EdgeReads
from sidecar.garbage import no_cycles_made

if TYPE_CHECKING:
    from sidecar.traces import Traces

# Longer than a connection that was let in once lives without being asked for again (envoy/connection.yaml).
ENDED_KEPT = 3900.0
ENDED_LIMIT = 100_000

# Changes: about two milliseconds of the event loop, with what consumers do when they are told.
APPLIED_AT_ONCE = 250

OVERFLOWED = "capacity_exceeded"

log = structlog.get_logger(__name__)


class Intake:
    """`resume_from`: every change up to there was applied; a snapshot may say so at the start. `clock`: seconds."""

    def __init__(
        self,
        directory: Directory,
        challenges: Challenges,
        edge: EdgeReads,
        audience: Audience,
        clock: Callable[[], float],
    ) -> None:
        self.resume_from: Position | None = None
        self.ahead: tuple[int, ...] = ()  # transactions beyond it whose changes were applied
        self.changes = 0
        self.reloads = 0
        self.traces: Traces | None = None  # where they are recorded
        self._directory = directory
        self._challenges = challenges
        self._edge = edge
        self._audience = audience
        self._clock = clock
        self._caught_up = False

    @property
    def position(self) -> int:
        """Every change of transactions below it was applied; 0: nothing was read yet."""
        return 0 if self.resume_from is None else self.resume_from.head.xmin

    async def what_the_server_lost(self, reader: Reader) -> frozenset[int]:
        """It may be another server than before, or one that was restored."""
        return frozenset() if self.resume_from is None else await reader.missing_changes(self.resume_from)

    async def read(self, reader: Reader, missing: frozenset[int]) -> bool:
        """Apply what there is to apply; whether there was anything. `missing`: of `what_the_server_lost`."""
        seen = self.resume_from
        if seen is None or self._directory.overflowing:
            await self._reload(reader, "nothing_read_yet" if seen is None else OVERFLOWED)
            return True
        if not self._caught_up:  # a snapshot holds neither
            self._challenges.replace(await reader.all_challenges(challenge_limits.CAPACITY))
            self._audience.tell_ended(await reader.ended_since(ENDED_KEPT, ENDED_LIMIT))
            self._caught_up = True
        unseen = await reader.read_changes(seen)
        if (reason := seen.reason_to_reload(unseen.head, missing)) is not None:
            await self._reload(reader, reason)
            return True
        if unseen.more:
            if (reason := await self._read_many(reader, seen, missing)) is not None:
                await self._reload(reader, reason)
            return True
        if self._edge.is_due(unseen.changes):
            async with reader.consistent():
                await self._edge.read(reader)
        async with nullcontext() if self.traces is None else self.traces.applying(reader, unseen.changes):
            await self._apply_all(reader, unseen.changes)
        self._advance(seen.advanced(unseen.head, unseen.changes), unseen.changes)
        return bool(unseen.changes)

    async def _read_many(self, reader: Reader, seen: Position, missing: frozenset[int]) -> str | None:
        """As many as there are, in slices of one snapshot; or the reason why they are not all there any more."""
        position = seen
        async with reader.consistent() as head:
            if (reason := seen.reason_to_reload(head, missing)) is not None:
                return reason
            await self._edge.read(reader)
            async for changes in reader.all_changes(seen):
                await self._apply_all(reader, changes)
                position = position.advanced(head, changes)
                self._remember_ahead(changes, head.xmin)
        self._advance(position.advanced(head, ()), ())
        return None

    async def _apply_all(self, reader: Reader, changes: Iterable[Change]) -> None:
        async for some in in_slices(changes, APPLIED_AT_ONCE):
            await self._apply(reader, some)

    async def _apply(self, reader: Reader, changes: Iterable[Change]) -> None:
        """Read the rows that the changes are about as they are now, and tell those who hold something made of them.

        The edge was read before: a domain that now asks for client certificates is not served without for a moment.
        """
        platform = self._directory.platform
        hostnames: set[str] = set()
        tokens: set[str] = set()
        ended: dict[str, float] = {}
        for change in changes:
            self.changes += 1
            if change.kind == EDGE:
                pass
            elif change.kind == "challenge":
                tokens.add(change.key)
            elif change.kind == "tenant":
                hostnames.add(platform.subdomain(change.key))
            elif not platform.owns(change.key):
                hostnames.add(change.key)
            if change.ended is not None:
                ended[change.ended] = change.at / 1e6
        if tokens:
            self._challenges.apply(await reader.load_challenges(tokens))
        if hostnames:
            self._directory.apply(await reader.load_names(hostnames))
        if ended:
            self._audience.tell_ended(ended)
        if hostnames:
            self._audience.tell(hostnames)

    async def _reload(self, reader: Reader, reason: str) -> None:
        started = self._clock()
        directory = self._directory
        knew_all = directory.complete
        differing = 0

        def tell(before: Mapping[str, Entry | None]) -> None:
            nonlocal differing
            differing += len(before)
            self._tell_anew(before)

        async with reader.consistent() as head:
            position = Position(head).advanced(head, await reader.newest_changes())
            ahead = await reader.transactions_from(head.xmin, AHEAD_LIMIT)
            challenges = await reader.all_challenges(challenge_limits.CAPACITY)
            await self._edge.read(reader)
            self._audience.tell_ended(await reader.ended_since(ENDED_KEPT, ENDED_LIMIT))
            with no_cycles_made():
                await read_anew(directory, reader, tell)
        self._challenges.replace(challenges)
        self._caught_up = True
        self.resume_from, self.ahead = position, ahead
        self.reloads += 1
        log.info(
            "directory_loaded",
            reason=reason,
            names=len(directory),
            complete=directory.complete,
            differing=differing,
            seconds=round(self._clock() - started, 3),
        )
        # What it did not hold it had told nobody anything wrong of, if it was complete and missed no change.
        if not knew_all or not (directory.complete or reason == OVERFLOWED):
            self._audience.tell((ANY_NAME,))

    def _tell_anew(self, before: Mapping[str, Entry | None]) -> None:
        """These rows are others now, or gone, and no change said so."""
        now = time.time()
        rows = ((row, self._directory.peek(hostname)) for hostname, row in before.items())
        ended = {row.registration: now for row, instead in rows if row is not None and row.ended(instead)}
        if ended:
            self._audience.tell_ended(ended)
        self._audience.tell(before)

    def _advance(self, position: Position, changes: Iterable[Change]) -> None:
        self.resume_from = position
        self._remember_ahead(changes, position.head.xmin)

    def _remember_ahead(self, changes: Iterable[Change], xmin: int) -> None:
        """Transactions at or above the position whose changes were applied; those applied last come last."""
        known = [xid for xid in self.ahead if xid >= xmin]
        new = sorted({change.xid for change in changes if change.xid >= xmin}.difference(known))
        self.ahead = (*known, *new)[-AHEAD_LIMIT:]
