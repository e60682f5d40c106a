"""The parts of the process that run for as long as it does, each a task of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

RESTART_DELAY = 1.0

log = structlog.stdlib.get_logger(__name__)


class Parts:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def keep_running(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(keep_running(name, part), name=name))

    def keep(self, name: str, part: Coroutine[Any, Any, None], on_end: Callable[[], None]) -> None:
        """It is not started again: `on_end` is called when it ends, whatever it was that ended it."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                log.critical("part_failed", part=name, exc_info=task.exception())
            on_end()

        task = asyncio.create_task(part, name=name)
        task.add_done_callback(ended)
        self._tasks.append(task)

    async def end(self, *, lasting: str) -> None:
        """Cancel all but `lasting`, which was told to end in its own way, and wait for all."""
        for task in self._tasks:
            if task.get_name() != lasting:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def keep_running(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run it until cancelled, and again if it ends: what is in memory goes on being served meanwhile."""
    while True:
        try:
            await part()
            log.error("part_ended", part=name)
        except Exception:  # the top of the loop: logged with its traceback, and tried again
            log.exception("part_failed", part=name)
        await asyncio.sleep(RESTART_DELAY)
