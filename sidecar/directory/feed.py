"""Following the change feed (core.feed) on a connection of its own, for as long as the process lives.

    connect → LISTEN → read → tell → wait for a hint or the timer ─┐
       ▲                └───────────────◀──────────────────────────┘
       └── backoff ◀── anything fails, or takes longer than its deadline

A notification only sets an event: what arrives while a read is under way, or in the rest after it, leads to one more
read. LISTEN comes before the first read, so a change is either in that read or announced after it. The timer's read is
the probe too: a server that vanished without a word is noticed by the read's deadline.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import asyncpg
import structlog

from core.feed import AHEAD_LIMIT, CHANGES_CHANNEL, SIDECARS_CHANNEL, SIGHTING_INTERVAL, Sighting
from sidecar.directory import challenges as challenge_limits
from sidecar.directory.audience import ANY_NAME, Audience, OnChange, OnEnded
from sidecar.directory.challenges import Challenges
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry
from sidecar.directory.garbage import no_cycles_made
from sidecar.directory.position import Change, Position
from sidecar.directory.postgres import AWAY, Postgres
from sidecar.directory.reader import FeedMissing, Reader
from sidecar.directory.reload import in_slices, read_anew

# Seconds of rest after a read. A single change is read at once, a few in a row soon; the more come the longer it rests,
# so that thousands of changes a second are read and told of in 20 reads and sightings.
REST = 0.003
READ_SPACING = 0.05
READ_INTERVAL = SIGHTING_INTERVAL
# Three reads on the timer: one may fail and be made up for by a new connection before anybody is alarmed.
STALE_AFTER = 3 * READ_INTERVAL
# 0.05, 0.1, 0.2 … 3 s, each times 0.5 to 1.
BACKOFF_FIRST, BACKOFF_LAST = 0.05, 3.0

# Longer than a connection that was let in once lives without being asked for again (envoy/connection.yaml).
ENDED_KEPT = 3900.0
ENDED_LIMIT = 100_000

# Changes: about two milliseconds of the event loop, with what consumers do when they are told.
APPLIED_AT_ONCE = 250

OVERFLOWED = "capacity_exceeded"

log = structlog.get_logger(__name__)


class Feed:
    """`sidecar`: this process's name in its sightings. `position`: where a snapshot left off."""

    def __init__(
        self,
        postgres: Postgres,
        directory: Directory,
        challenges: Challenges,
        sidecar: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resume_from: Position | None = None
        self.telling = True  # False: another process of the same name speaks for this one
        self.connects = 0
        self.failures = 0
        self.reads = 0
        self.changes = 0
        self.reloads = 0
        self.revision = 0  # grows whenever something was read that was not known
        self._postgres = postgres
        self._directory = directory
        self._challenges = challenges
        self._sidecar = sidecar
        self._audience = Audience()
        self._clock = clock
        self._ahead: tuple[int, ...] = ()
        self._caught_up = False
        self._read_at: float | None = None
        self._hint = asyncio.Event()

    @property
    def position(self) -> int:
        """Every change of transactions below it was applied; 0: nothing was read yet."""
        return 0 if self.resume_from is None else self.resume_from.head.xmin

    def age(self) -> float:
        """Seconds since the last successful read; infinite if there was none."""
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def subscribe(self, on_change: OnChange) -> None:
        self._audience.add(on_change)

    def subscribe_ended(self, on_ended: OnEnded) -> None:
        self._audience.add_for_ended(on_ended)

    def tell_of_any(self) -> None:
        """All rows are others now, and those before were few or none."""
        self._audience.tell((ANY_NAME,))

    async def run(self) -> None:
        """Until cancelled."""
        delay = BACKOFF_FIRST
        while True:
            reads = self.reads
            try:
                await self._follow()
            except (*AWAY, FeedMissing) as error:
                log.warning("feed_lost", error=type(error).__name__, detail=_harmless(error))
            except Exception:  # the top of the loop: a directory that stands still is worse than a traceback
                log.exception("feed_failed")
            self.failures += 1
            delay = BACKOFF_FIRST if self.reads > reads else min(2 * delay, BACKOFF_LAST)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter

    async def _follow(self) -> None:
        connection = await self._postgres.connect()
        try:
            connection.add_termination_listener(self._wake)
            await connection.add_listener(CHANGES_CHANNEL, self._wake)
            self.connects += 1
            log.info("feed_connected", position=self.position)
            await self._read_and_wait(connection)
        finally:
            connection.terminate()
            self._directory.fresh_for(0)

    def _wake(self, *_notification: object) -> None:
        self._hint.set()

    async def _read_and_wait(self, connection: asyncpg.Connection[Any]) -> None:
        reader = self._postgres.reader(connection)
        missing = await self._what_the_server_lost(reader)
        told_at = -SIGHTING_INTERVAL
        rest = REST
        while not connection.is_closed():
            self._hint.clear()
            news = await self._read(reader, missing)
            missing = frozenset()
            if self.telling and (news or self._clock() - told_at >= SIGHTING_INTERVAL - READ_SPACING):
                await self._tell(reader)
                told_at = self._clock()
            if self._directory.overflowing:
                self._hint.set()
            await asyncio.sleep(rest)
            rest = min(2 * rest, READ_SPACING) if self._hint.is_set() else REST
            try:
                async with asyncio.timeout(READ_INTERVAL):
                    await self._hint.wait()
            except TimeoutError:
                continue
        raise ConnectionResetError("closed by the server")

    async def _what_the_server_lost(self, reader: Reader) -> frozenset[int]:
        """It may be another server than before, or one that was restored."""
        return frozenset() if self.resume_from is None else await reader.missing_changes(self.resume_from)

    async def _read(self, reader: Reader, missing: frozenset[int]) -> bool:
        """Apply what there is to apply; whether there was anything."""
        news = await self._read_changes(reader, missing)
        self.reads += 1
        self.revision += news
        self._read_at = self._clock()
        self._directory.fresh_for(STALE_AFTER)
        return news

    async def _read_changes(self, reader: Reader, missing: frozenset[int]) -> bool:
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
        await self._apply_all(reader, unseen.changes)
        self._advance(seen.advanced(unseen.head, unseen.changes), unseen.changes)
        return bool(unseen.changes)

    async def _read_many(self, reader: Reader, seen: Position, missing: frozenset[int]) -> str | None:
        """As many as there are, in slices of one snapshot; or the reason why they are not all there any more."""
        position = seen
        async with reader.consistent() as head:
            if (reason := seen.reason_to_reload(head, missing)) is not None:
                return reason
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
        """Read the rows that the changes are about as they are now, and tell those who hold something made of them."""
        platform = self._directory.platform
        hostnames: set[str] = set()
        tokens: set[str] = set()
        ended: dict[str, float] = {}
        for change in changes:
            self.changes += 1
            if change.kind == "challenge":
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
            self._audience.tell_ended(await reader.ended_since(ENDED_KEPT, ENDED_LIMIT))
            with no_cycles_made():
                await read_anew(directory, reader, tell)
        self._challenges.replace(challenges)
        self._caught_up = True
        self.resume_from, self._ahead = position, ahead
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
        known = [xid for xid in self._ahead if xid >= xmin]
        new = sorted({change.xid for change in changes if change.xid >= xmin}.difference(known))
        self._ahead = (*known, *new)[-AHEAD_LIMIT:]

    async def _tell(self, reader: Reader) -> None:
        await reader.tell(SIDECARS_CHANNEL, Sighting(self._sidecar, self.position, self._ahead).to_payload())


def _harmless(error: BaseException) -> str:
    """Text of an error that cannot repeat the connection string."""
    return "" if isinstance(error, ValueError) else str(error)
