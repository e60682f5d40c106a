"""The admin API as its caller sees it: a real database and a real Vault behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from scenes.operators import Admin, client

from embedded.database import Database


@pytest.fixture
async def admin(database: Database, serve: Callable[..., Any], issuer: Any, upstreams: Any) -> AsyncIterator[Admin]:
    async with (
        serve(database.api_dsn, upstreams=upstreams) as url,
        client(url, issuer.token(None, sub="root@platform", scope="openid nameplate:admin")) as one,
    ):
        yield Admin(url, one)


@pytest.fixture
def edge_changes(control: asyncpg.Connection[Any]) -> Callable[[], Any]:
    async def count() -> int:
        return int(await control.fetchval("SELECT count(*) FROM changes WHERE kind = 'edge'"))

    return count
