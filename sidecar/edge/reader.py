"""Reading the edge from PostgreSQL: all of it, in one snapshot of the database, while checks go on being answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import Final

from sidecar.directory.entry import wildcard_of
from sidecar.directory.position import Change
from sidecar.directory.reader import Reader, read_queries
from sidecar.edge.model import ClientAuth, Edge
from sidecar.edge.rows import TABLES, Builder, Row
from sidecar.edge.table import EdgeTable

# Kinds of changes.
EDGE: Final = "edge"
DOMAIN: Final = "domain"

QUERIES: Final = read_queries(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))
# Seconds for a slice of a table: no other change is read meanwhile, so a server that hangs must be left soon.
SLICE_DEADLINE: Final = 5.0
# It is read as a whole, so in a burst of changes it is read for a tenth of the time only, and changes of a moment later
# wait for so many seconds at most.
REST_FACTOR: Final = 10
REST_LAST: Final = 1.0
# Seconds of the event loop at a time. To look into a bundle of certificates takes a few milliseconds, once; what takes
# longer is done beside it.
TURN: Final = 0.001


class EdgeReads:
    """When the edge is to be read, for who follows the feed. `rest`: seconds for others after a read.

    `due`: something may be different though no change says so: nothing was read on this connection yet.

    Names below a wildcard that asks for client certificates are of the edge (`Edge.below`), and each tells of itself.
    Of one that came before the wildcard was read here, the wildcard's own change tells: its snapshot shows both.
    """

    def __init__(self, table: EdgeTable) -> None:
        self.due = True
        self.rest = 0.0
        self._table = table
        self._client_auth: Mapping[str, ClientAuth] = {}
        self._asking = frozenset[str]()  # their hostnames

    def is_due(self, changes: Iterable[Change]) -> bool:
        """Whether it must be read before these are called applied; then it stays due until it was."""
        asking = self._hostnames_that_ask()
        self.due = self.due or any(
            change.kind == EDGE or (change.kind == DOMAIN and wildcard_of(change.key) in asking) for change in changes
        )
        return self.due

    async def read(self, reader: Reader) -> None:
        """Only within `reader.consistent`, in a snapshot that shows the changes. Raises what the reader does."""
        table, started = self._table, time.monotonic()
        table.replace(await build_slowly(_rows(reader), table.current))
        seconds = time.monotonic() - started
        table.loads += 1
        table.seconds += seconds
        self.due = False
        self.rest = min(REST_FACTOR * seconds, REST_LAST)

    def _hostnames_that_ask(self) -> frozenset[str]:
        edge = self._table.current
        if edge is not None and edge.client_auth is not self._client_auth:
            self._client_auth = edge.client_auth
            self._asking = frozenset(auth.hostname for auth in edge.client_auth.values())
        return self._asking


async def build_slowly(slices: AsyncIterable[tuple[str, Iterable[Row]]], before: Edge | None) -> Edge:
    """Others have their turns meanwhile."""
    builder = Builder(before)
    turn_ends = time.monotonic() + TURN
    async for name, rows in slices:
        for row in rows:
            if builder.takes_long(name, row):
                await asyncio.to_thread(builder.add, name, row)
            else:
                builder.add(name, row)
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + TURN
    return builder.edge()


async def _rows(reader: Reader) -> AsyncIterable[tuple[str, Iterable[Row]]]:
    for name, table in TABLES.items():
        async for rows in reader.rows(QUERIES[name], table.limit + 1, deadline=SLICE_DEADLINE):
            yield name, rows
