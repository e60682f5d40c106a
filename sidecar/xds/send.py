"""How what is built goes out."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class Send(Protocol):
    def __call__(self, *messages: bytes) -> Awaitable[None]:
        """Write them; returns when the client has room for more."""
