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
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from core.feed import CHANGES_CHANNEL, SIDECARS_CHANNEL, SIGHTING_INTERVAL
from core.question import QUESTIONS_CHANNEL
from sidecar.directory.audience import ANY_NAME, Audience, OnChange, OnEnded
from sidecar.directory.challenges import Challenges
from sidecar.directory.directory import Directory
from sidecar.directory.intake import Intake
from sidecar.directory.postgres import AWAY, Postgres
from sidecar.directory.reached import Envoys, Telling
from sidecar.directory.reader import FeedMissing, Reader
from sidecar.edge.reader import EdgeReads
from sidecar.edge.table import EdgeTable

# Seconds of rest after a read. A single change is read at once, a few in a row soon; the more come the longer it rests,
# so that thousands of changes a second are read and told of in 20 reads and sightings.
REST = 0.003
READ_SPACING = 0.05
READ_INTERVAL = SIGHTING_INTERVAL
# Three reads on the timer: one may fail and be made up for by a new connection before anybody is alarmed.
STALE_AFTER = 3 * READ_INTERVAL
# 0.05, 0.1, 0.2 … 3 s, each times 0.5 to 1.
BACKOFF_FIRST, BACKOFF_LAST = 0.05, 3.0

log = structlog.get_logger(__name__)


class Feed:
    """`sidecar`: this process's name in its sightings. `intake`: where what was read went, and how far that is."""

    def __init__(
        self,
        postgres: Postgres,
        directory: Directory,
        challenges: Challenges,
        edge: EdgeTable,
        sidecar: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.telling = True  # False: another process of the same name speaks for this one
        self.on_question: Callable[[str], None] = lambda _payload: None
        self.connects = 0
        self.failures = 0
        self.last_error: str | None = None  # since the last successful read
        self.reads = 0
        self.revision = 0  # grows whenever something was read that was not known
        self._postgres = postgres
        self._directory = directory
        self._edge = EdgeReads(edge)
        self._audience = Audience()
        self.intake = Intake(directory, challenges, self._edge, self._audience, clock)
        self._clock = clock
        self._read_at: float | None = None
        self._hint = asyncio.Event()
        self._telling = Telling(sidecar, self._hint.set)

    @property
    def position(self) -> int:
        """Every change of transactions below it was applied; 0: nothing was read yet."""
        return self.intake.position

    def age(self) -> float:
        """Seconds since the last successful read; infinite if there was none."""
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def subscribe(self, on_change: OnChange) -> None:
        self._audience.add(on_change)

    def subscribe_ended(self, on_ended: OnEnded) -> None:
        self._audience.add_for_ended(on_ended)

    def accompany(self, envoys: Envoys) -> None:
        """They are told of each revision, and their answers are part of what is said of this sidecar."""
        self._telling.accompany(envoys, self.revision)

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
                _end_if_cancelled()
                self.last_error = f"{type(error).__name__}: {_harmless(error)}".removesuffix(": ")
                log.warning("feed_lost", error=type(error).__name__, detail=_harmless(error))
            except Exception as error:  # the top of the loop: a directory that stands still is worse than a traceback
                _end_if_cancelled()
                self.last_error = type(error).__name__
                log.exception("feed_failed")
            self.failures += 1
            delay = BACKOFF_FIRST if self.reads > reads else min(2 * delay, BACKOFF_LAST)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter

    async def _follow(self) -> None:
        connection = await self._postgres.connect()
        try:
            connection.add_termination_listener(self._wake)
            await connection.add_listener(CHANGES_CHANNEL, self._wake)
            await connection.add_listener(QUESTIONS_CHANNEL, self._asked)
            await self._postgres.check_hearing(connection)
            self.connects += 1
            log.info("feed_connected", position=self.position)
            await self._read_and_wait(connection)
        finally:
            connection.terminate()
            self._directory.fresh_for(0)

    def _wake(self, *_notification: object) -> None:
        self._hint.set()

    def _asked(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if self.telling:
            self.on_question(str(payload))

    async def _read_and_wait(self, connection: asyncpg.Connection[Any]) -> None:
        reader = self._postgres.reader(connection)
        missing = await self.intake.what_the_server_lost(reader)
        self._edge.due = True
        told_at = -SIGHTING_INTERVAL
        rest = REST
        while not connection.is_closed():
            self._hint.clear()
            news = await self._read(reader, missing)
            missing = frozenset()
            if self.telling and (
                news or self._clock() - told_at >= SIGHTING_INTERVAL - READ_SPACING or self._telling.due
            ):
                await self._tell(reader)
                told_at = self._clock()
            if self._directory.overflowing:
                self._hint.set()
            await asyncio.sleep(max(rest, self._edge.rest))
            rest = min(2 * rest, READ_SPACING) if self._hint.is_set() else REST
            try:
                async with asyncio.timeout(READ_INTERVAL):
                    await self._hint.wait()
            except TimeoutError:
                continue
        raise ConnectionResetError("closed by the server")

    async def _read(self, reader: Reader, missing: frozenset[int]) -> bool:
        """Apply what there is to apply; whether there was anything."""
        self._edge.rest = 0.0
        news = await self.intake.read(reader, missing)
        self.reads += 1
        self.revision += news
        self._telling.applied(self.revision, self.position, self.intake.ahead, news=news)
        self._read_at = self._clock()
        self.last_error = None
        self._directory.fresh_for(STALE_AFTER)
        return news

    async def _tell(self, reader: Reader) -> None:
        sighting = self._telling.sighting(self.position, self.intake.ahead)
        await reader.tell(SIDECARS_CHANNEL, sighting.to_payload())


def _end_if_cancelled() -> None:
    """What fails on the way out of a transaction takes the place of the cancellation that led there."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _harmless(error: BaseException) -> str:
    """Text of an error that cannot repeat the connection string."""
    return "" if isinstance(error, ValueError) else str(error)
