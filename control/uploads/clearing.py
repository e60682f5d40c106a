"""Destroys in Vault what no upload stands for any more: withdrawn, run out, or never recorded because somebody died.

`upload_keys` has a row for each domain under whose path there may be something, written before Vault is; `clear_at`
says when to look. Whoever clears a path claims its row first: until the claim runs out no upload begins, and none that
had begun comes to its end. So nothing is lost, even if Vault does not answer and destroys it all the same. The row goes
when Vault has answered; if it has not, or the process has ended, the claim runs out and somebody claims it again. The
keys of a deleted domain are destroyed by its `revoke` job; here whatever came after it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog

from control import rounds
from control.certificates.held import transaction_id
from control.certificates.propagation import Propagation
from control.vault import Vault
from control.vault_claims import CLAIM_SECONDS
from core.vault import upload_path

EVERY = 30.0  # seconds, with jitter
BATCH = 50
SEEN_WITHIN = timedelta(seconds=15)

DUE = """SELECT domain_id FROM upload_keys WHERE clear_at <= $1
    AND (claimed_until IS NULL OR claimed_until < now()) ORDER BY clear_at LIMIT $2"""
LOCK = """SELECT true FROM upload_keys WHERE domain_id = $1 AND clear_at <= $2
    AND (claimed_until IS NULL OR claimed_until < now()) FOR UPDATE SKIP LOCKED"""
STANDS = """SELECT true FROM uploads u JOIN custom_domains d ON d.id = u.domain_id
    WHERE u.domain_id = $1 AND u.ended_at IS NULL AND d.deleted_at IS NULL"""
KEEP = "UPDATE upload_keys SET clear_at = NULL WHERE domain_id = $1"
CLAIM = f"""UPDATE upload_keys SET attempt = $2, claimed_until = now() + interval '{CLAIM_SECONDS} seconds'
    WHERE domain_id = $1"""  # noqa: S608 -- constants
GONE = "DELETE FROM upload_keys WHERE domain_id = $1 AND attempt = $2"
# The audit log keeps what happened.
FORGET = (
    "DELETE FROM upload_attempts WHERE at < now() - interval '2 hours'",
    "DELETE FROM uploads WHERE ended_at < now() - interval '30 days'",
)

log = structlog.get_logger(__name__)


class Clearing:
    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        vault: Vault,
        propagation: Propagation,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._propagation = propagation
        self._now = now

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.round, EVERY, "uploads_not_cleared")

    async def round(self) -> int:
        """Returns how many were destroyed. Raises VaultError and asyncpg's errors; the rest is done the next time."""
        for statement in FORGET:
            await self._pool.execute(statement)
        rows = await self._pool.fetch(DUE, self._now(), BATCH)
        if not rows:
            return 0
        async with self._pool.acquire() as connection:
            xid = await transaction_id(connection)
        await self._propagation.wait(xid, SEEN_WITHIN)  # a sidecar that is not there by then is in trouble of its own
        return sum([await self._clear(row["domain_id"]) for row in rows])

    async def _clear(self, domain_id: UUID) -> bool:
        claim = uuid4()
        if not await self._claim(domain_id, claim):
            return False
        await self._vault.destroy(upload_path(domain_id))
        await self._pool.execute(GONE, domain_id, claim)
        log.info("upload_destroyed", domain_id=str(domain_id))
        return True

    async def _claim(self, domain_id: UUID, claim: UUID) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(LOCK, domain_id, self._now()):
                return False
            if await connection.fetchval(STANDS, domain_id):  # a later upload that came to no end was never recorded
                await connection.execute(KEEP, domain_id)
                return False
            await connection.execute(CLAIM, domain_id, claim)
        return True
