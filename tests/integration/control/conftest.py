"""A pool as the workers' role, and domains made without the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from embedded.database import Database

AddDomain = Callable[..., Awaitable[UUID]]


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=8) as pool:
        yield pool


@pytest.fixture
def add_domain(pool: asyncpg.Pool[Any]) -> AddDomain:
    """`await add_domain("a.example", job="verify", status="pending")` → its id."""

    async def add(hostname: str, *, job: str | None = "verify", status: str = "pending", ssl: str = "none") -> UUID:
        async with pool.acquire() as connection, connection.transaction():
            tenant = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id"
            )
            domain_id: UUID = await connection.fetchval(
                """INSERT INTO custom_domains
                       (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status)
                   VALUES ($1, $2, 'token', now() + interval '72 hours', $3, $4) RETURNING id""",
                tenant,
                hostname,
                status,
                ssl,
            )
            if job is not None:
                await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, $2)", domain_id, job)
        return domain_id

    return add
