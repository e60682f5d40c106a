from collections.abc import AsyncIterator

import pytest
from scenes.preflight import ZONE, Scene

from embedded.dns import DnsServer


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene.start() as running:
        yield running


@pytest.fixture
async def second() -> AsyncIterator[DnsServer]:
    """Another resolver, with a mind of its own."""
    async with DnsServer.start() as server:
        server.add_zone(ZONE)
        yield server
