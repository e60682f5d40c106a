"""What has to be done about the operator's things from time to time: keys destroyed, bundles read, ends warned of."""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

from control import rounds
from control.services.expiry import ExpiryWatch
from control.services.identities import sweep
from control.services.trust import read_unread
from control.vault import Vault

EVERY = 60.0  # seconds

log = structlog.get_logger(__name__)


class Upkeep:
    """`pool`: as the workers' role."""

    def __init__(self, pool: asyncpg.Pool[Any], vault: Vault, expiry: ExpiryWatch, every: float = EVERY) -> None:
        self._pool = pool
        self._vault = vault
        self._expiry = expiry
        self._every = every

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.round, self._every, "upkeep_failed")

    async def round(self) -> None:
        """Raises VaultError and asyncpg's errors."""
        await read_unread(self._pool)
        await self._expiry.look()
        await sweep(self._pool, self._vault)
