"""The operator's things on a real database and a real Vault, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from api.admin.upstreams import Upstreams
from api.auth import Operator
from control.services import parts
from control.vault import Vault
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount


@pytest.fixture
def vault(vault_mount: VaultMount) -> Iterator[Vault]:
    role = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    yield vault
    vault.close()


@pytest.fixture
def upstreams(pool: asyncpg.Pool[Any], vault: Vault) -> Upstreams:
    return parts.upstreams(pool, vault)


@pytest.fixture
def root() -> Operator:
    return Operator("root@platform")
