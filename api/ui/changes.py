"""Hints that something has changed, for pages that are kept up to date."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Waiter(Protocol):
    async def wait(self, seconds: float) -> bool:
        """Returns at a hint since the last call, or after the seconds. False: the process is ending, so end too."""
        ...


class Changes(Protocol):
    def subscribe(self) -> AbstractAsyncContextManager[Waiter]:
        """For as long as somebody looks at a page."""
        ...
