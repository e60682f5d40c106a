"""Uploads on the session's servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scenes.uploads import Uploading

from embedded.database import Database
from embedded.vault_mount import VaultMount


@pytest.fixture
async def uploading(database: Database, vault_mount: VaultMount) -> AsyncIterator[Uploading]:
    async with Uploading.start(database, vault_mount) as uploading:
        yield uploading
