"""A second replica's pool, and domains with certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from embedded.database import Database

AddDomain = Callable[..., Awaitable[UUID]]


@pytest.fixture
async def other_pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=8) as pool:
        yield pool


@pytest.fixture
def add_tenant(pool: asyncpg.Pool[Any]) -> Callable[[], Awaitable[UUID]]:
    async def add() -> UUID:
        tenant: UUID = await pool.fetchval("INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id")
        return tenant

    return add


@pytest.fixture
def add_domains(pool: asyncpg.Pool[Any]) -> Callable[..., Awaitable[list[UUID]]]:
    """`await add_domains(tenant, "a", 5000)` → their ids, each with an `obtain` job, in the order of their turns."""

    async def add(tenant: UUID, label: str, count: int) -> list[UUID]:
        async with pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                """INSERT INTO custom_domains
                       (tenant_id, hostname, verification_token, verify_deadline, status)
                   SELECT $1, $2 || '-' || n || '.example', 'token', now() + interval '72 hours', 'verified'
                   FROM generate_series(1, $3) n RETURNING id""",
                tenant,
                label,
                count,
            )
            await connection.execute(
                "INSERT INTO jobs (domain_id, kind) SELECT id, 'obtain' FROM unnest($1::uuid[]) id",
                [row["id"] for row in rows],
            )
        return [row["id"] for row in rows]

    return add


@pytest.fixture
def give_certificate(pool: asyncpg.Pool[Any]) -> Callable[..., Awaitable[None]]:
    """`await give_certificate(domain_id, not_before, not_after, window=None)`: it is served."""

    async def give(
        domain_id: UUID,
        not_before: datetime,
        not_after: datetime,
        window: tuple[datetime, datetime] | None = None,
    ) -> None:
        await pool.execute(
            """WITH stored AS (
                   INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                       vault_version, directory_url, ari_window)
                   VALUES ($1, '01', 'CA', encode(sha256($1::uuid::text::bytea), 'hex'), $2, $3, 1, 'https://ca.test',
                       CASE WHEN $4::timestamptz IS NOT NULL THEN tstzrange($4, $5) END)
                   RETURNING id)
               UPDATE custom_domains SET certificate_id = stored.id, cert_expiry = $3, status = 'active',
                   ssl_status = 'expiring' FROM stored WHERE custom_domains.id = $1""",
            domain_id,
            not_before,
            not_after,
            *(window or (None, None)),
        )

    return give
