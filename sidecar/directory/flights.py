"""Single flight: whoever asks for a key that is being loaded waits for that load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """`load` does the work for a key. It goes on when those who wait for it give up, so it needs its own deadline."""

    __slots__ = ("_load", "_tasks")

    def __init__(self, load: Callable[[str], Awaitable[T]]) -> None:
        self._load = load
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def join(self, key: str) -> T:
        """What `load(key)` returns or raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._fly(key), name="directory load")
            task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _fly(self, key: str) -> T:
        try:
            return await self._load(key)
        finally:
            del self._tasks[key]


def _retrieve(task: asyncio.Task[T]) -> None:
    """An error is for those who wait; asyncio need not complain when nobody does any more."""
    if not task.cancelled():
        task.exception()
