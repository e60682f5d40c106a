"""Answers that are being loaded for one stream, and those that were and are not written yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog

from sidecar.xds.resolver import Answer, Failed, Outcome

# Loads at once. A name that finds no place is given up like one that was not loaded in time; the client asks again.
MAX_LOADING: Final = 10_000

log = structlog.stdlib.get_logger(__name__)


class Loads:
    """`load`: the answer for a name to a client that has a version, None: none. `loaded` is called when it is there."""

    def __init__(self, load: Callable[[str, str | None], Awaitable[Answer]], loaded: Callable[[str], None]) -> None:
        self._load = load
        self._on_loaded = loaded
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._loaded: dict[str, Answer] = {}

    def __iter__(self) -> Iterator[str]:
        yield from self._loading
        yield from self._loaded

    def __contains__(self, name: str) -> bool:
        return name in self._loading or name in self._loaded

    def __len__(self) -> int:
        return len(self._loading) + len(self._loaded)

    @property
    def full(self) -> bool:
        return len(self._loading) >= MAX_LOADING

    def begin(self, name: str, wanted: str | None) -> None:
        """Not for a name that is in here."""
        self._loading[name] = asyncio.create_task(self._run(name, wanted), name=f"load {name}")

    def take(self, name: str) -> Answer | None:
        """What was loaded."""
        return self._loaded.pop(name, None)

    def end(self, name: str) -> None:
        """It does not matter any more; if it is loaded, it may have been read before what changed."""
        load = self._loading.pop(name, None)
        if load is not None:
            load.cancel()
        self._loaded.pop(name, None)

    def close(self) -> None:
        """End them all, and let go of whom they were for: what refers to itself is freed by a full collection only."""
        for load in self._loading.values():
            load.cancel()
        self._on_loaded = _nobody

    async def _run(self, name: str, wanted: str | None) -> None:
        try:
            answer = await self._load(name, wanted)
        except Exception:
            # The top of a task: a fault at one name must not end the stream of all the others.
            log.exception("load_failed", resource=name)
            answer = Failed(Outcome.UNAVAILABLE)
        # `end` cancels it, so this is still the name's one load.
        del self._loading[name]
        self._loaded[name] = answer
        self._on_loaded(name)


def _nobody(_name: str) -> None:
    pass
