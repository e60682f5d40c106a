"""What a job's holder may write, while it holds it.

Each transaction first checks three things: the domain is live, the job's lease stands, and the tenant has not paused
the domain. So a worker that was cut off, or whose domain was deleted or paused, writes nothing. The job's row is locked
before the domain's, as the API and the transitions do it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from control.db import trace
from control.domains import transition
from control.jobs import Job, assert_held
from core.domain import Domain
from core.errors import NameplateError

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Paused(NameplateError):
    """The tenant wants nothing more to be attempted."""

    def __init__(self, domain_id: UUID) -> None:
        super().__init__("paused_by_tenant", f"Domain {domain_id} is paused by its tenant.")


class Held:
    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def by(self, job: Job, *, paused_too: bool = False) -> AsyncIterator[tuple[Connection, Domain]]:
        """A transaction for the job. Raises DomainGone, LeaseLost, Paused unless `paused_too`, and asyncpg's errors."""
        async with self._pool.acquire() as connection, connection.transaction():
            await trace.tell(connection)
            await assert_held(connection, job.domain_id, job.lease_token)
            domain = await transition.load_live(connection, job.domain_id)
            if domain.paused_from is not None and not paused_too:
                raise Paused(job.domain_id)
            yield connection, domain


async def transaction_id(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
