from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenes import secrets
from scenes.secrets import DeltaClient, Room

from embedded.vault_mount import VaultMount


@pytest.fixture
async def room(vault_mount: VaultMount, state_dir: Path) -> AsyncIterator[Room]:
    """Its Vault is the session's: not to be sealed."""
    async with secrets.room(vault_mount, state_dir) as made:
        yield made


@pytest.fixture
async def client(room: Room) -> AsyncIterator[DeltaClient]:
    """A delta client on the aggregated stream."""
    async with room.channel() as channel:
        client = DeltaClient(channel)
        yield client
        client.close()
