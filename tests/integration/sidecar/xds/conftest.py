from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenes import secrets
from scenes.secrets import DeltaClient, Room

from embedded.background import Background
from embedded.openbao import OpenBao
from embedded.vault_mount import VaultMount


@pytest.fixture
async def room(vault_mount: VaultMount, state_dir: Path) -> AsyncIterator[Room]:
    """Its Vault is the session's: not to be sealed."""
    async with secrets.room(vault_mount, state_dir) as made:
        yield made


@pytest.fixture(scope="session")
def mortal_openbao(background: Background, session_dir: Path) -> OpenBao:
    """Beside the session's, to be sealed, stopped and frozen by one test after the other."""
    home = session_dir / "mortal"
    home.mkdir(mode=0o711)
    return background.enter(OpenBao.start(home))


@pytest.fixture
async def mortal_vault(mortal_openbao: OpenBao, number: int) -> AsyncIterator[VaultMount]:
    """A mount there; unsealed again afterwards."""
    mount = await VaultMount.create(mortal_openbao, f"t{number}")
    yield mount
    await mortal_openbao.unseal()
    await mount.remove()


@pytest.fixture
async def client(room: Room) -> AsyncIterator[DeltaClient]:
    """A delta client on the aggregated stream."""
    async with room.channel() as channel:
        client = DeltaClient(channel)
        yield client
        client.close()
