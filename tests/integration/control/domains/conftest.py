"""Tenants of the API on a real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from api.auth import Principal
from api.service import Reply
from control.domains.tenants import TenantDomains
from core.domain import Domain
from embedded.database import Database

VERIFY_TTL = timedelta(hours=72)
MAX_DOMAINS = 5


@pytest.fixture
async def api_pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=20) as pool:
        yield pool


@pytest.fixture
async def control(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection as control's workers have it: it sees every row."""
    connection = await asyncpg.connect(database.control_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.superuser_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def domains(api_pool: asyncpg.Pool[Any]) -> TenantDomains:
    return TenantDomains(api_pool, VERIFY_TTL, MAX_DOMAINS)


@pytest.fixture
def caller() -> Principal:
    return Principal(uuid4(), "alice")


@pytest.fixture
def other() -> Principal:
    return Principal(uuid4(), "mallory")


@pytest.fixture
def add(domains: TenantDomains) -> Callable[[Principal, str], Awaitable[Domain]]:
    """`await add(caller, hostname)` registers it and gives its record."""

    async def register(caller: Principal, hostname: str) -> Domain:
        seen: list[Domain] = []

        def reply(domain: Domain) -> Reply:
            seen.append(domain)
            return Reply(json.dumps({"id": str(domain.id)}), f"/domains/{domain.id}")

        await domains.add(caller, hostname, None, reply)
        return seen[0]

    return register
