from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scenes.notifications import Room, WebhookServer, room


@pytest.fixture
async def scene(pool, vault_mount) -> AsyncIterator[Room]:
    """A deliverer that may send to loopback, without TLS."""
    async with room(pool, vault_mount) as made:
        yield made


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookServer]:
    async with WebhookServer().serve() as server:
        yield server


@pytest.fixture
def url(hooks):
    """`url("/path")` on the webhook server."""

    def make(path: str = "/") -> str:
        return f"http://127.0.0.1:{hooks.port}{path}"

    return make
