"""Transactions of work on many rows, one after another: whoever holds a row for longer has it for now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

# The next ones are not kept waiting.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
TAKEN = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


@asynccontextmanager
async def brief(pool: asyncpg.Pool[Any]) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A transaction that raises one of TAKEN where it would wait for long."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(LOCK_TIMEOUT)
        yield connection
