"""CAs of one test, with accounts in its own Vault mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from control.acme.ca import Ca
from control.certificates.authorities import Authority
from control.vault import Vault
from embedded.ari import AriFront
from embedded.pebble import Pebble
from embedded.vault_mount import VaultMount

MakeAuthority = Callable[..., Authority]


@pytest.fixture
def vault(vault_mount: VaultMount) -> Any:
    vault = Vault(vault_mount.url, vault_mount.path, vault_mount.control.role_id, lambda: vault_mount.control.secret_id)
    yield vault
    vault.close()


@pytest.fixture
def authority(vault: Vault, pool: asyncpg.Pool[Any]) -> Any:
    """`authority(pebble, eab=True, …)`: one that control would have, closed at the end."""
    with ExitStack() as stack:

        def make(ca: Pebble | AriFront, **settings: Any) -> Authority:
            made = Authority(
                Ca(name="test", directory_url=ca.directory_url, ca_file=str(ca.ca_bundle), **settings), vault, pool
            )
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
async def front(state_dir: Path, pebble: Pebble) -> AsyncIterator[AriFront]:
    """The session's Pebble behind a CA's modern face."""
    async with AriFront.start(
        state_dir, pebble, profiles={"classic": "90 days", "short": "6 days"}, caa_identities=("ca.example",)
    ) as front:
        yield front
