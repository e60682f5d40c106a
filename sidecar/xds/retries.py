"""When names are looked at again though nothing has said that they changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

# Seconds until a failure is tried again, the last one for ever: 0.5, 1.5, 3.5, 8.5, 13.5 … after the first.
RETRY_DELAYS: Final = (0.5, 1.0, 2.0, 5.0)


class Retries:
    """`retry` is called with the name when its time has come. A name waits for one time only."""

    def __init__(self, retry: Callable[[str], None]) -> None:
        self._retry = retry
        self._waiting: dict[str, tuple[int, asyncio.TimerHandle]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    def failures(self, name: str) -> int:
        """In a row; 0 also for one that waits for another reason."""
        count, _ = self._waiting.get(name, (0, None))
        return count

    def after_failure(self, name: str) -> None:
        """Later each time, until `end`."""
        count, _ = self._waiting.get(name, (0, None))
        self.after(name, RETRY_DELAYS[min(count, len(RETRY_DELAYS) - 1)], count + 1)

    def after(self, name: str, seconds: float, count: int = 0) -> None:
        self.end(name)
        self._waiting[name] = (count, asyncio.get_running_loop().call_later(seconds, self._retry, name))

    def end(self, name: str) -> None:
        if name in self._waiting:
            _, timer = self._waiting.pop(name)
            timer.cancel()

    def close(self) -> None:
        """End them all, and let go of whom they were for: what refers to itself is freed by a full collection only."""
        for name in list(self._waiting):
            self.end(name)
        self._retry = _nobody


def _nobody(_name: str) -> None:
    pass
