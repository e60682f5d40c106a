"""An issuance on the session's servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scenes.issuance import Scene

from embedded.dns import DnsServer
from embedded.pebble import Pebble


@pytest.fixture
async def scene(database, vault_mount, pebble: Pebble, dns_server: DnsServer, dns_zone) -> AsyncIterator[Scene]:
    async with Scene.start(database, vault_mount, pebble, dns_server, dns_zone.origin) as scene:
        yield scene
