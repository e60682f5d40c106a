"""Following the change feed (core.feed) on a connection of its own, for as long as the process lives.

    connect → LISTEN → read → tell → wait for a hint or the timer ─┐
       ▲                └───────────────◀──────────────────────────┘
       └── backoff ◀── anything fails, or takes longer than its deadline

A notification only sets an event: what arrives while a read is under way, or within READ_SPACING after it, leads to one
more read. LISTEN comes before the first read, so a change is either in that read or announced after it. The timer's
read is the probe too: a server that vanished without a word is noticed by the read's deadline.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import asyncpg
import structlog

from core.feed import AHEAD_LIMIT, CHANGES_CHANNEL, SIDECARS_CHANNEL, SIGHTING_INTERVAL, Sighting
from sidecar.directory import challenges as challenge_limits
from sidecar.directory.challenges import Challenges
from sidecar.directory.directory import Directory
from sidecar.directory.garbage import no_cycles_made
from sidecar.directory.position import Change, Position
from sidecar.directory.postgres import AWAY, Postgres
from sidecar.directory.reader import FeedMissing, Reader
from sidecar.directory.reload import in_slices, read_anew

# Seconds. At most 20 reads and sightings a second; a single change is read at once.
READ_SPACING = 0.05
READ_INTERVAL = SIGHTING_INTERVAL
# Three reads on the timer: one may fail and be made up for by a new connection before anybody is alarmed.
STALE_AFTER = 3 * READ_INTERVAL
# 0.05, 0.1, 0.2 … 3 s, each times 0.5 to 1.
BACKOFF_FIRST, BACKOFF_LAST = 0.05, 3.0

OnChange = Callable[[frozenset[str]], None]
"""Called on the loop, after the directory was updated, with the hostnames whose answer may have changed.

A wildcard row stands for the names it matches. ANY_NAME comes after a reload of an incomplete directory: names that it
did not hold may have gone, and only those who asked for them know which they are.
"""
ANY_NAME = "*"

log = structlog.get_logger(__name__)


class Feed:
    """`sidecar`: this process's name in its sightings. `position`: where a snapshot left off."""

    def __init__(
        self,
        postgres: Postgres,
        directory: Directory,
        challenges: Challenges,
        sidecar: str,
        on_change: Sequence[OnChange] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resume_from: Position | None = None
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
        self._on_change = list(on_change)
        self._clock = clock
        self._ahead: tuple[int, ...] = ()
        self._challenges_loaded = False
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
        self._on_change.append(on_change)

    async def announce(self, hostnames: Iterable[str]) -> None:
        """Tell everybody, in slices."""
        async for names in in_slices(hostnames):
            self._announce(names)

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
        while not connection.is_closed():
            self._hint.clear()
            news = await self._read(reader, missing)
            missing = frozenset()
            if news or self._clock() - told_at >= SIGHTING_INTERVAL - READ_SPACING:
                await self._tell(reader)
                told_at = self._clock()
            if self._directory.overflowing:
                self._hint.set()
            await asyncio.sleep(READ_SPACING)
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
            await self._reload(reader, "nothing_read_yet" if seen is None else "capacity_exceeded")
            return True
        if not self._challenges_loaded:  # a snapshot holds none
            self._challenges.replace(await reader.all_challenges(challenge_limits.CAPACITY))
            self._challenges_loaded = True
        unseen = await reader.read_changes(seen)
        if (reason := seen.reason_to_reload(unseen.head, missing)) is not None:
            await self._reload(reader, reason)
            return True
        if unseen.more:
            if (reason := await self._read_many(reader, seen, missing)) is not None:
                await self._reload(reader, reason)
            return True
        await self._apply(reader, unseen.changes)
        self._advance(seen.advanced(unseen.head, unseen.changes), unseen.changes)
        return bool(unseen.changes)

    async def _read_many(self, reader: Reader, seen: Position, missing: frozenset[int]) -> str | None:
        """As many as there are, in slices of one snapshot; or the reason why they are not all there any more."""
        position = seen
        async with reader.consistent() as head:
            if (reason := seen.reason_to_reload(head, missing)) is not None:
                return reason
            async for changes in reader.all_changes(seen):
                await self._apply(reader, changes)
                position = position.advanced(head, changes)
                self._remember_ahead(changes, head.xmin)
                await asyncio.sleep(0)
        self._advance(position.advanced(head, ()), ())
        return None

    async def _apply(self, reader: Reader, changes: Iterable[Change]) -> None:
        """Read the rows that the changes are about as they are now, and tell those who hold something made of them."""
        platform = self._directory.platform
        hostnames: set[str] = set()
        tokens: set[str] = set()
        for change in changes:
            self.changes += 1
            if change.kind == "challenge":
                tokens.add(change.key)
            elif change.kind == "tenant":
                hostnames.add(platform.subdomain(change.key))
            elif not platform.owns(change.key):
                hostnames.add(change.key)
        if tokens:
            self._challenges.apply(await reader.load_challenges(tokens))
        if hostnames:
            self._directory.apply(await reader.load_names(hostnames))
            self._announce(hostnames)

    async def _reload(self, reader: Reader, reason: str) -> None:
        started = self._clock()
        async with reader.consistent() as head:
            position = Position(head).advanced(head, await reader.newest_changes())
            ahead = await reader.transactions_from(head.xmin, AHEAD_LIMIT)
            challenges = await reader.all_challenges(challenge_limits.CAPACITY)
            with no_cycles_made():
                async with aclosing(reader.all_entries()) as slices:
                    entries, differing = await read_anew(self._directory, slices)
        nameless = not self._directory.complete and (self._directory.loaded or not isinstance(entries, dict))
        self._directory.replace(entries)
        self._challenges.replace(challenges)
        self._challenges_loaded = True
        self.resume_from, self._ahead = position, ahead
        self.reloads += 1
        log.info(
            "directory_loaded",
            reason=reason,
            names=len(self._directory),
            complete=self._directory.complete,
            differing=len(differing),
            seconds=round(self._clock() - started, 3),
        )
        await self.announce(differing)
        if nameless:
            self._announce((ANY_NAME,))

    def _announce(self, hostnames: Iterable[str]) -> None:
        changed = frozenset(hostnames)
        for on_change in self._on_change:
            try:
                on_change(changed)
            except Exception:  # one consumer's mistake must not keep the others from the news
                log.exception("on_change_failed")

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
