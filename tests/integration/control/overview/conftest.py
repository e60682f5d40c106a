from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from scenes import overview as scene

from embedded.database import Database


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    """As control's workers have it."""
    async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=8) as pool:
        yield pool


@pytest.fixture
async def control(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.control_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def watched(pool: asyncpg.Pool[Any]) -> scene.Watched:
    return scene.watched(pool)
