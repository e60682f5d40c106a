"""The statements of `queries.sql` on one connection: names in, records out. It keeps nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from sidecar.directory.challenge import Challenge
from sidecar.directory.entry import Entry, PlatformDomain, unpack
from sidecar.directory.position import RECENT_LIMIT, Change, Head, Position

# Rows handled in one step of the event loop: about a millisecond of it.
SLICE = 1000
# Seconds for a statement that touches a few rows, and for one slice of a statement that touches them all.
DEADLINE = 3.0
SLICE_DEADLINE = 30.0


def read_queries(text: str) -> dict[str, str]:
    """`-- name: x` begins the statement x."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


QUERIES = read_queries(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))


class FeedMissing(Exception):
    """The feed's own row is not there: the database is not one of ours, or is being restored."""


class Unseen(NamedTuple):
    """The changes after a position; `more`: these are not all."""

    head: Head
    changes: Sequence[Change]
    more: bool


class Statements:
    """How many statements were sent, over all connections."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = 0


class Reader:
    """All methods raise what asyncpg raises, and TimeoutError."""

    def __init__(self, connection: asyncpg.Connection[Any], platform: PlatformDomain, statements: Statements) -> None:
        self._connection = connection
        self._platform = platform
        self._statements = statements

    async def load_names(self, hostnames: Collection[str]) -> dict[str, Entry | None]:
        """The rows of these very names, None for those that have none. No statement if none can have one."""
        facts: dict[str, Entry | None] = dict.fromkeys(hostnames)
        own = [hostname for hostname in facts if not self._platform.owns(hostname)]
        slugs = [slug for hostname in facts if (slug := self._platform.slug(hostname)) is not None]
        if own or slugs:
            facts.update(_by_hostname(await self._fetch("entries", own, slugs, self._platform.name)))
        return facts

    async def load_challenges(self, tokens: Collection[str]) -> dict[str, Challenge | None]:
        facts: dict[str, Challenge | None] = dict.fromkeys(tokens)
        facts.update((row[0], Challenge(*row)) for row in await self._fetch("load_challenges", list(facts)))
        return facts

    async def all_challenges(self, limit: int) -> list[Challenge]:
        return [Challenge(*row) for row in await self._fetch("all_challenges", limit)]

    async def read_changes(self, position: Position, limit: int = SLICE) -> Unseen:
        """What became visible after `position`, at most `limit` changes."""
        rows = await self._fetch("read_changes", *_unseen_arguments(position), limit + 1)
        if not rows:
            raise FeedMissing
        changes = [Change(*row[3:]) for row in rows[:limit] if row[3] is not None]
        return Unseen(_head(rows[0]), changes, len(rows) > limit)

    async def change_traces(self, ids: Sequence[int]) -> dict[int, str]:
        """The traceparents of the changes that have one. Raises asyncpg.UndefinedTableError: the schema is older."""
        return dict(await self._fetch("change_traces", list(ids)))

    async def missing_changes(self, position: Position) -> frozenset[int]:
        """The ids of the recent changes of `position` that the server does not have."""
        ids, times = [mark.id for mark in position.recent], [mark.at for mark in position.recent]
        return frozenset(row[0] for row in await self._fetch("missing_changes", ids, times))

    @asynccontextmanager
    async def consistent(self) -> AsyncIterator[Head]:
        """A transaction whose statements all see one snapshot."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            self._statements.sent += 2  # it begins and ends by a statement
            rows = await self._fetch("head")
            if not rows:
                raise FeedMissing
            yield _head(rows[0])

    async def newest_changes(self) -> list[Change]:
        return [Change(*row) for row in await self._fetch("newest_changes", RECENT_LIMIT)]

    async def count(self) -> int:
        """How many rows `all_entries` gives, or a few more."""
        count: int = (await self._fetch("count", timeout=SLICE_DEADLINE))[0][0]
        return count

    async def all_entries(self) -> AsyncIterator[dict[str, Entry]]:
        """Every live name, in slices. Only within `consistent`."""
        async for rows in self._slices("entries", None, None, self._platform.name):
            yield _by_hostname(rows)

    async def all_changes(self, position: Position) -> AsyncIterator[list[Change]]:
        """As read_changes, but all of them, in slices, by their ids. Only within `consistent`."""
        async for rows in self._slices("all_changes", *_unseen_arguments(position)):
            yield [Change(*row) for row in rows]

    async def ended_since(self, seconds: float, limit: int) -> dict[str, float]:
        """What ended in the last `seconds`, and when (Unix seconds, PostgreSQL's clock): the newest `limit` of them."""
        return {row[0]: row[1] for row in reversed(await self._fetch("ended_since", seconds, limit))}

    async def transactions_from(self, xmin: int, limit: int) -> tuple[int, ...]:
        """The newest transactions at or above `xmin` whose changes are visible, in ascending order."""
        return tuple(reversed([row[0] for row in await self._fetch("transactions_from", xmin, limit)]))

    async def tell(self, channel: str, payload: str) -> None:
        """NOTIFY."""
        await self._fetch("tell", channel, payload)

    async def _fetch(self, query: str, *arguments: object, timeout: float = DEADLINE) -> list[Any]:
        self._statements.sent += 1
        rows: list[Any] = await self._connection.fetch(QUERIES[query], *arguments, timeout=timeout)
        return rows

    async def _slices(self, query: str, *arguments: object) -> AsyncIterator[list[Any]]:
        async for rows in self.rows(QUERIES[query], *arguments):
            yield rows

    async def rows(
        self, statement: str, *arguments: object, deadline: float = SLICE_DEADLINE
    ) -> AsyncIterator[list[Any]]:
        """Of any statement, in slices, each within `deadline` seconds. Only within `consistent`."""
        self._statements.sent += 1
        cursor = await self._connection.cursor(statement, *arguments, timeout=deadline)
        while rows := await cursor.fetch(SLICE, timeout=deadline):
            yield rows


def _by_hostname(rows: list[Any]) -> dict[str, Entry]:
    return {entry.hostname: entry for (packed,) in rows for entry in (unpack(packed),)}


def _unseen_arguments(position: Position) -> tuple[int, tuple[int, ...], int]:
    return position.head.xmax, position.head.xip, position.last_id


def _head(row: Sequence[Any]) -> Head:
    snapshot, feed_id, pruned_xid = row[:3]
    return Head.parse(feed_id, snapshot, pruned_xid)
