"""The pauses between two questions to a CA about something under way (RFC 8555 section 7.5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic

FIRST_PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=5)


class OutOfPatience(Exception):
    """It is still under way. `retry_after`: when the CA wants to be asked again, zero if it did not say."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("still under way")
        self.retry_after = retry_after


class Patience:
    """`bound`: for all pauses together. They double, unless the CA says how long (Retry-After)."""

    def __init__(self, bound: timedelta) -> None:
        self._end = monotonic() + bound.total_seconds()
        self._next = FIRST_PAUSE

    async def pause(self, wishes: Iterable[timedelta | None]) -> None:
        """`wishes`: the Retry-After of each answer. Raises OutOfPatience instead of a pause beyond the bound."""
        wish = max((one for one in wishes if one is not None), default=timedelta(0))
        length = max(wish, FIRST_PAUSE) if wish else self._next
        if monotonic() + length.total_seconds() > self._end:
            raise OutOfPatience(wish)
        self._next = min(self._next * 2, LONGEST_PAUSE)
        await asyncio.sleep(length.total_seconds())
