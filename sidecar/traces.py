"""The traces that changes of the feed belong to: how each was applied here, and what was fetched from Vault for it.

Only made where traces are recorded (core.trace). What made a change says its traceparent in `change_traces_v1`; an
older schema has no such view, and then there are none. Nothing here is on the path of a check.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Protocol

import asyncpg
import structlog
from cachetools import TTLCache

from core.trace import NOTHING, Span, Tracer
from sidecar.directory.position import Change

MOST: Final = 20  # changes of one read that are looked up; more are an import, not somebody's request
REMEMBERED: Final = 900.0  # seconds for which a fetch belongs to the change before it, as a job does to its request
CAPACITY: Final = 10_000  # hostnames
ASK_AGAIN: Final = 60.0  # seconds, of a schema without the view

log = structlog.stdlib.get_logger(__name__)


class Reader(Protocol):
    async def change_traces(self, ids: Sequence[int]) -> Mapping[int, str]: ...


class Traces:
    """`sidecar`: this process's name."""

    def __init__(self, tracer: Tracer, sidecar: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracer = tracer
        self._sidecar = sidecar
        self._clock = clock
        self._ask_at = 0.0
        self._by_hostname: TTLCache[str, str] = TTLCache(CAPACITY, REMEMBERED, clock)

    @asynccontextmanager
    async def applying(self, reader: Reader, changes: Sequence[Change]) -> AsyncIterator[None]:
        """Each of them that belongs to a trace is a span, from its transaction to the end of the block.

        Outside a transaction. Raises what `reader` raises.
        """
        parents = await self._parents(reader, changes)
        with ExitStack() as spans:
            for change in changes:
                if (parent := parents.get(change.id)) is not None:
                    self._remember(change, spans.enter_context(self._applied(change, parent)))
            yield

    async def _parents(self, reader: Reader, changes: Sequence[Change]) -> Mapping[int, str]:
        """The traceparents of those that have one, by id."""
        if not 0 < len(changes) <= MOST or self._clock() < self._ask_at:
            return {}
        try:
            return await reader.change_traces([change.id for change in changes])
        except asyncpg.UndefinedTableError:
            self._ask_at = self._clock() + ASK_AGAIN
            log.info("traces_not_in_schema")
            return {}

    def _applied(self, change: Change, parent: str) -> AbstractContextManager[Span]:
        # A challenge's key is its token, which only its CA needs to know.
        name = change.key if change.kind in ("domain", "tenant") else None
        at = datetime.fromtimestamp(change.at / 1e6, UTC)
        return self._tracer.begin(
            f"apply {change.kind}", "consumer", parent=parent, at=at, key=name, sidecar=self._sidecar
        )

    def _remember(self, change: Change, span: Span) -> None:
        if change.kind == "domain" and span.traceparent is not None:
            self._by_hostname[change.key] = span.traceparent

    def fetching(self, hostname: str) -> AbstractContextManager[Span]:
        """What is done now is to fetch the name's certificate."""
        parent = self._by_hostname.get(hostname)
        if parent is None:
            return NOTHING
        return self._tracer.begin(
            "load certificate", "internal", parent=parent, hostname=hostname, sidecar=self._sidecar
        )
