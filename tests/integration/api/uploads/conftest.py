"""An API that offers uploads, and a tenant of it with a domain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from scenes.pairs import HOST, PATH, Serve

from embedded.database import Database


@pytest.fixture
async def base(serve: Serve, database: Database, uploads: Any) -> AsyncIterator[str]:
    """An API that offers uploads."""
    async with serve(database.api_dsn, uploads=uploads) as url:
        yield url


@pytest.fixture
def owner(base: str, new_tenant: Callable[..., Any]) -> Any:
    return new_tenant(base)


@pytest.fixture
async def path(owner: Any) -> str:
    return PATH.format((await owner.add(HOST)).json()["id"])
