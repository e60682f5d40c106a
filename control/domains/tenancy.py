"""Transactions of one tenant, as the role nameplate_api: row level security then hides all others' rows.

Whatever a silent, busy or vanished PostgreSQL does, the caller has an answer, or Unavailable, within DEADLINE seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg
import structlog

from api.auth import Principal
from api.service import Unavailable
from control.db import trace

ACQUIRE_TIMEOUT = 3.0  # seconds for a free or a new connection
DEADLINE = 6.0  # seconds for a transaction
LOCK_TIMEOUT = "3s"
STATEMENT_TIMEOUT = "5s"
ATTEMPTS = 3  # of a transaction that PostgreSQL rolls back as a deadlock's victim
RETRY_PAUSE = 0.05  # seconds, with jitter: whoever won must have the locks before we come again

BEGIN = """SELECT set_config('app.current_tenant', $1, true), set_config('lock_timeout', $2, true),
    set_config('statement_timeout', $3, true)"""

# PostgreSQL is away, is going, is coming, or is too busy to answer: not the request's fault, and worth a retry.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
)

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[Any]"

log = structlog.get_logger(__name__)


class Tenancy:
    """`pool`: of connections as nameplate_api."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def transact(self, caller: Principal, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` as the caller's tenant; an exception rolls everything back. Raises Unavailable."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(caller, work)
            except asyncpg.TransactionRollbackError as error:
                log.warning("transaction_rolled_back", error=type(error).__name__, attempt=attempt)
                if attempt == ATTEMPTS:
                    raise Unavailable from error
                await asyncio.sleep(RETRY_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
            except OUTAGES as error:
                log.warning("database_unavailable", error=type(error).__name__)
                raise Unavailable from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def ping(self) -> None:
        """Raises Unavailable."""
        try:
            async with self._connection() as connection:
                await connection.execute("SELECT 1")
        except OUTAGES as error:
            raise Unavailable from error

    async def _attempt(self, caller: Principal, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._connection() as connection, connection.transaction():
            await connection.execute(BEGIN, str(caller.tenant_id), LOCK_TIMEOUT, STATEMENT_TIMEOUT)
            await trace.tell(connection)
            return await work(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection that is cut after DEADLINE seconds.

        Not asyncio.timeout: a cancelled query waits for the server's consent, and a silent server gives none.
        """
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            watchdog = asyncio.get_running_loop().call_later(DEADLINE, connection.terminate)
            try:
                yield connection
            finally:
                watchdog.cancel()


def actor(caller: Principal) -> str:
    """As the audit names a tenant."""
    return f"tenant:{caller.subject}"
