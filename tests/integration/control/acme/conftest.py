"""CAs of one test, with accounts in its own Vault mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from control.acme.ca import Ca
from control.certificates.authorities import Authority
from control.vault import Vault
from core.vault_login import AppRole
from embedded.ari import AriFront
from embedded.background import Background
from embedded.dns import DnsServer
from embedded.pebble import Pebble
from embedded.ports import free_port
from embedded.vault_mount import VaultMount

MakeAuthority = Callable[..., Authority]
HMAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture
def vault(vault_mount: VaultMount) -> Any:
    vault = Vault(
        vault_mount.url, vault_mount.path, AppRole(vault_mount.control.role_id, lambda: vault_mount.control.secret_id)
    )
    yield vault
    vault.close()


@dataclass(frozen=True, slots=True)
class Operator:
    """Who puts into Vault what control may only read."""

    mount: VaultMount

    async def write(self, path: str, data: dict[str, Any]) -> None:
        await self.mount.openbao.request("POST", f"{self.mount.path}/data/{path}", {"data": data})

    async def destroy(self, path: str) -> None:
        await self.mount.openbao.request("DELETE", f"{self.mount.path}/metadata/{path}")


@pytest.fixture
def operator(vault_mount: VaultMount) -> Operator:
    return Operator(vault_mount)


@pytest.fixture
def hmac() -> str:
    """That of `kid-1` at the binding Pebble."""
    return HMAC


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


@pytest.fixture(scope="session")
def trusting(background: Background, session_dir: Path, dns_server: DnsServer, pebble_package: None) -> Pebble:
    """A Pebble that believes whoever asks, at once."""
    start = Pebble.start(
        session_dir,
        dns_server=dns_server.address,
        http_port=free_port(),
        no_sleep=True,
        always_valid=True,
        name="trusting-pebble",
    )
    return background.enter(start)


@pytest.fixture(scope="session")
def binding(background: Background, session_dir: Path, dns_server: DnsServer, pebble_package: None) -> Pebble:
    """A Pebble that binds every account to the external key `kid-1`."""
    start = Pebble.start(
        session_dir,
        dns_server=dns_server.address,
        http_port=free_port(),
        external_accounts={"kid-1": HMAC},
        name="binding-pebble",
    )
    return background.enter(start)


@pytest.fixture
async def front(state_dir: Path, trusting: Pebble) -> AsyncIterator[AriFront]:
    """The trusting Pebble with the face of a public CA."""
    async with AriFront.start(
        state_dir, trusting, profiles={"classic": "90 days", "short": "6 days"}, caa_identities=("ca.example",)
    ) as front:
        yield front
