"""The platform's account at a CA: made once, its key kept in Vault, shared by all replicas.

The key is written with check-and-set before the CA sees it, so two replicas that start together agree on one; whoever
loses reads what the other wrote. newAccount is idempotent by key (RFC 8555 section 7.3.1), so a process sends it once
at its first use and survives a CA that has forgotten the account. A CA that wants an external account binding is first
asked for the account that is there, because some take a binding only once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwk import JWKEC

from control.acme.binding import Binding
from control.acme.client import Client, in_thread
from control.acme.directory import Meta
from control.acme.network import Network
from control.acme.problems import BLANK, AcmeError, AcmeMisconfigured, AcmeRefused, AcmeUnavailable, Meaning, Problem
from control.vault import Vault, VaultConflict, VaultError
from core.vault import acme_account_path, eab_path

DEACTIVATED = Meaning(
    "ca_account_deactivated", "The CA has deactivated the platform's account.", "operator", False, True
)
EAB_REFUSED = Meaning(
    "ca_eab_refused", "The CA does not accept the external account binding that Vault has.", "operator", False, True
)
# What newAccount's problems mean there, by whether a binding was sent.
UNBOUND: Mapping[str, Meaning] = {"unauthorized": DEACTIVATED}
BOUND: Mapping[str, Meaning] = dict.fromkeys(
    ("unauthorized", "malformed", "externalAccountRequired", "badSignatureAlgorithm"), EAB_REFUSED
)


class Account:
    """`contact`: a mail address or a URL, or empty. `ca_file`: see Network. `eab`: Vault has a binding for it. Close it
    at the end."""

    def __init__(
        self,
        vault: Vault,
        pool: asyncpg.Pool[Any],
        directory_url: str,
        contact: str = "",
        ca_file: str | None = None,
        *,
        eab: bool = False,
    ) -> None:
        self._vault = vault
        self._pool = pool
        self.directory_url = directory_url
        self._contact = contact if ":" in contact or not contact else f"mailto:{contact}"
        self._ca_file = ca_file
        self._eab = eab
        self._network: Network | None = None
        self._client: Client | None = None
        self._opening: asyncio.Task[Client] | None = None

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._network is not None:
            self._network.close()

    @property
    def meta(self) -> Meta | None:
        """What the directory says of the CA; None until `client()` has read it."""
        directory = self._network.known if self._network is not None else None
        return directory.meta if directory is not None else None

    async def client(self) -> Client:
        """All who wait for one opening have its end, so that a CA that is away holds each of them up once.

        Raises VaultError, AcmeError, and asyncpg's errors.
        """
        if self._client is not None:
            return self._client
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name=f"account at {self.directory_url}")
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def forget(self, client: Client) -> None:
        """The CA does not know this client's account (any more): the next one is registered anew."""
        if self._client is client:
            self._client = None

    def _opened(self, task: asyncio.Task[Client]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._client = task.result()

    async def _open(self) -> Client:
        key = await self._key()
        network = Network(self.directory_url, key, self._ca_file)
        try:
            directory = await in_thread(network.directory)
        except AcmeError:
            network.close()
            raise
        if self._network is not None:
            self._network.close()
        self._network = network
        account_url = await self._registered(network, key, directory.meta.external_account_required)
        await self._pool.execute(
            """INSERT INTO acme_accounts (directory_url, account_url) VALUES ($1, $2)
               ON CONFLICT (directory_url) DO UPDATE SET account_url = excluded.account_url
               WHERE acme_accounts.account_url <> excluded.account_url""",
            self.directory_url,
            account_url,
        )
        client = Client(network, key, account_url, on_lost=lambda: self.forget(client))
        return client

    async def _registered(self, network: Network, key: JWKEC, bound: bool) -> str:
        """The account's URL. What is refused here is refused for every order. `bound`: the CA wants a binding."""
        if self._eab or bound:
            try:
                return await in_thread(lambda: _register(network, {"onlyReturnExisting": True}, UNBOUND))
            except AcmeRefused as refused:
                if refused.problem.name != "accountDoesNotExist":
                    raise
            if not self._eab:
                message = "The CA asks for an external account binding, and the settings say that there is none."
                raise AcmeMisconfigured("ca_eab_required", message)
        fields: dict[str, Any] = {"termsOfServiceAgreed": True}
        if self._contact:
            fields["contact"] = [self._contact]
        if not self._eab:
            return await in_thread(lambda: _register(network, fields, UNBOUND))
        binding = await self._binding()
        fields["externalAccountBinding"] = binding.signed(key, await in_thread(lambda: network.url("newAccount")))
        return await in_thread(lambda: _register(network, fields, BOUND))

    async def _binding(self) -> Binding:
        path = eab_path(self.directory_url)
        stored = await self._vault.read(path)
        if stored is None:
            raise AcmeMisconfigured("ca_eab_missing", f"Vault has no external account binding at {path}.")
        return Binding.from_vault(stored.data)

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


def _register(network: Network, fields: Mapping[str, Any], meanings: Mapping[str, Meaning]) -> str:
    """newAccount: 201 for a new account, 200 for one that the CA has for this key. Returns its URL."""
    try:
        answer = network.post(network.url("newAccount"), fields, None)
    except AcmeRefused as refused:
        meaning = meanings.get(refused.problem.name) or replace(refused.meaning, outage=True)
        raise AcmeRefused(refused.problem, refused.retry_after, meaning) from None
    account = answer.json()
    if isinstance(account, dict) and account.get("status") in ("deactivated", "revoked"):
        raise AcmeRefused(Problem(BLANK, "The account is not valid."), None, DEACTIVATED)
    if answer.location is None:
        raise AcmeUnavailable("an account without a Location")
    return answer.location
