"""The platform's account at a CA: made once, its key kept in Vault, shared by all replicas.

The key is written with check-and-set before the CA sees it, so two replicas that start together agree on one; whoever
loses reads what the other wrote. newAccount is idempotent by key (RFC 8555 section 7.3.1), so a process sends it once
at its first use and survives a CA that has forgotten the account.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
from acme import messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwk import JWKEC

from control.acme.client import Client, in_thread
from control.acme.network import Network
from control.acme.problems import AcmeUnavailable
from control.vault import Vault, VaultConflict, VaultError
from core.vault import acme_account_path


class Account:
    """`contact`: a mail address or a URL, or empty. `ca_file`: see Network. Close it at the end."""

    def __init__(
        self, vault: Vault, pool: asyncpg.Pool[Any], directory_url: str, contact: str = "", ca_file: str | None = None
    ) -> None:
        self._vault = vault
        self._pool = pool
        self.directory_url = directory_url
        self._contact = contact if ":" in contact or not contact else f"mailto:{contact}"
        self._ca_file = ca_file
        self._network: Network | None = None
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    def close(self) -> None:
        if self._network is not None:
            self._network.close()

    async def client(self) -> Client:
        """Raises VaultError, AcmeRefused, AcmeUnavailable, and asyncpg's errors."""
        async with self._lock:
            if self._client is None:
                self._client = await self._open()
            return self._client

    def forget(self, client: Client) -> None:
        """The CA does not know this client's account (any more): the next one is registered anew."""
        if self._client is client:
            self._client = None

    async def _open(self) -> Client:
        key = await self._key()
        self.close()
        network = self._network = Network(self.directory_url, key, self._ca_file)
        account_url = await in_thread(lambda: _register(network, self._contact))
        await self._pool.execute(
            """INSERT INTO acme_accounts (directory_url, account_url) VALUES ($1, $2)
               ON CONFLICT (directory_url) DO UPDATE SET account_url = excluded.account_url
               WHERE acme_accounts.account_url <> excluded.account_url""",
            self.directory_url,
            account_url,
        )
        return Client(network, key, account_url)

    async def _key(self) -> JWKEC:
        path = acme_account_path(self.directory_url)
        stored, cas = await self._vault.read_with_cas(path)
        if stored is None:
            with suppress(VaultConflict):  # another replica was first
                record = {"key": _new_key(), "directory_url": self.directory_url}
                await self._vault.write(path, record, cas=cas)
            stored = await self._vault.read(path)
        if stored is None:
            raise VaultConflict(path)
        try:
            key = load_pem_private_key(str(stored.data["key"]).encode(), password=None)
        except (KeyError, ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise VaultError("account_key_unreadable", "What Vault has as the ACME account's key is not one.")
        return JWKEC(key=key)


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _register(network: Network, contact: str) -> str:
    """newAccount: 201 for a new account, 200 for one that the CA has for this key. Returns its URL."""
    fields: dict[str, Any] = {"terms_of_service_agreed": True}
    if contact:
        fields["contact"] = (contact,)
    answer = network.post(network.url("newAccount"), messages.NewRegistration(**fields).to_json(), None)
    if answer.location is None:
        raise AcmeUnavailable("an account without a Location")
    return answer.location
