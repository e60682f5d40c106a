"""What is known of the CAs at this moment, for a look that must go on while one of them, or Vault, is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import structlog

from control.acme.problems import AcmeError
from control.certificates.authorities import Authority
from control.preflight.report import CaFacts
from control.vault import VaultError

WITHIN = 2.0  # seconds for an account that was not opened yet; its opening goes on for whoever needs it

log = structlog.get_logger(__name__)


class KnownFacts:
    """`pool`: as nameplate_control. `within`: seconds for all CAs together."""

    def __init__(self, pool: asyncpg.Pool[Any], authorities: Iterable[Authority], within: float = WITHIN) -> None:
        self._pool = pool
        self._authorities = tuple(authorities)
        self._within = within

    async def __call__(self) -> Sequence[CaFacts]:
        """A CA that is away has the account that PostgreSQL knows, and the identities that are known by now.

        Raises what PostgreSQL raises.
        """
        opened = await asyncio.gather(*(self._account_url(one) for one in self._authorities))
        rows = await self._pool.fetch("SELECT directory_url, account_url FROM acme_accounts")
        stored: dict[str, str] = {row["directory_url"]: row["account_url"] for row in rows}
        return [
            CaFacts(one.directory_url, one.caa_identities, url or stored.get(one.directory_url))
            for one, url in zip(self._authorities, opened, strict=True)
        ]

    async def _account_url(self, authority: Authority) -> str | None:
        try:
            async with asyncio.timeout(self._within):
                return (await authority.client()).account_url
        except (AcmeError, VaultError, TimeoutError) as error:
            log.info("ca_not_opened", ca=authority.name, error=type(error).__name__)
            return None
