"""Hints for pages that are kept up to date: `api.ui.changes.Changes`, told by what control hears from PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Hint:
    """One who waits. A hint that comes while nobody waits is kept, two count as one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._closed = False

    async def wait(self, seconds: float) -> bool:
        if self._closed:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
        return not self._closed

    def give(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._closed = True
        self._event.set()


class Hints:
    """`tell` is synchronous and quick, as listeners want it."""

    def __init__(self) -> None:
        self._waiting: set[Hint] = set()
        self._closed = False

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Hint]:
        hint = Hint()
        if self._closed:
            hint.close()
        self._waiting.add(hint)
        try:
            yield hint
        finally:
            self._waiting.discard(hint)

    def tell(self) -> None:
        for hint in self._waiting:
            hint.give()

    def close(self) -> None:
        """Everybody who waits, or will, is sent away."""
        self._closed = True
        for hint in self._waiting:
            hint.close()

    async def until_the_end(self) -> None:
        """As a part of the process: streams end when it does, rather than hold its drain up."""
        try:
            await asyncio.Event().wait()
        finally:
            self.close()
