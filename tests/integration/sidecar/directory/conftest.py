"""Rows on a connection of the workers' role, and a directory that follows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import Rows, Running, rows_of, running
from scenes.edges import EdgeRows

from embedded.database import Database


@pytest.fixture
async def rows(database: Database) -> AsyncIterator[Rows]:
    async with rows_of(database) as rows:
        yield rows


@pytest.fixture
async def sidecar(
    database: Database, state_dir: Path, eventually: Callable[..., Awaitable[Any]]
) -> AsyncIterator[Running]:
    """A directory that has read the (empty) tables and listens."""
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        yield sidecar


@pytest.fixture
def edge_rows(rows: Rows) -> EdgeRows:
    return EdgeRows(rows.connection)
