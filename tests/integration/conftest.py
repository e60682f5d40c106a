"""Connections to the test's database, each as a role of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from embedded.database import Database


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def control(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """As control's workers: it sees every row."""
    async with connected(database.control_dsn) as connection:
        yield connection


@pytest.fixture
async def api(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """As the tenants' API: it sees the rows of the tenant that it names."""
    async with connected(database.api_dsn) as connection:
        yield connection


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """For what no role of ours may do."""
    async with connected(database.superuser_dsn) as connection:
        yield connection
