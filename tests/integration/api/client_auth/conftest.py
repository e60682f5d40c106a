"""A domain whose clients may be asked for certificates, and a sidecar that reads of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from scenes.asking import HOST

from embedded.database import Database


@pytest.fixture
async def path(tenant: Any) -> str:
    return f"/domains/{(await tenant.add(HOST)).json()['id']}/client-auth"


@pytest.fixture
async def sidecar(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database.sidecar_dsn)
    yield connection
    await connection.close()
