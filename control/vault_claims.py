"""Claims of what is to be destroyed in Vault: rows of PostgreSQL, committed before Vault is asked.

No transaction is open while Vault thinks. Whoever wants to write under a path that is claimed waits, and gives up if
Vault does not answer; a claim that nobody has come back from runs out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

# Longer than a call takes (control.vault) and Vault works at one whose client has gone (90 s, unless its operator says
# otherwise): what was asked for is done by then, or never will be.
CLAIM_SECONDS = 120
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between attempts

T = TypeVar("T")


async def until_free(begin: Callable[[], Awaitable[T | None]]) -> T | None:
    """The answer of `begin`, which is tried until it has one. None: it is claimed still."""
    for wait in WAITS:
        if answer := await begin():
            return answer
        await asyncio.sleep(wait)
    return await begin()
