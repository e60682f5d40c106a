"""What a job's holder may write, while it holds it.

Each transaction first checks two things: the domain is live, and the job's lease stands. So a worker that was paused,
or whose domain was deleted, writes nothing. The job's row is locked before the domain's, as the API and the
transitions do it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from control.domains import transition
from control.jobs import Job, assert_held
from core.domain import Domain

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Held:
    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def by(self, job: Job) -> AsyncIterator[tuple[Connection, Domain]]:
        """A transaction for the job. Raises DomainGone, LeaseLost, and asyncpg's errors."""
        async with self._pool.acquire() as connection, connection.transaction():
            await assert_held(connection, job.domain_id, job.lease_token)
            domain = await transition.load_live(connection, job.domain_id)
            yield connection, domain


async def transaction_id(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
