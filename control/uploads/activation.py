"""Domains that are proven and have an uploaded certificate go live without waiting for any CA.

They have no job of their own: the `obtain` job is the managed certificate's, which waits for its turn at the CA, and
may fail. Whoever sees that the sidecars have read of the certificate takes the step; the others find it taken.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from control import rounds
from control.certificates.held import transaction_id
from control.certificates.propagation import Propagation
from control.domains import transition

EVERY = 1.0  # seconds, with jitter
BATCH = 50
# As of a managed certificate (control.certificates.obtain): the sidecars, and then their Envoys.
SEEN_WITHIN = timedelta(seconds=15)
ACKNOWLEDGED_WITHIN = timedelta(seconds=5)

WAITING = """SELECT id, hostname FROM custom_domains
    WHERE deleted_at IS NULL AND status = 'verified' AND upload_id IS NOT NULL LIMIT $1"""

log = structlog.get_logger(__name__)


class Activation:
    """`actor`: for the audit."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        propagation: Propagation,
        actor: str,
        bound: timedelta = SEEN_WITHIN,
    ) -> None:
        self._pool = pool
        self._propagation = propagation
        self._actor = actor
        self._bound = bound
        self._envoys_bound = min(bound, ACKNOWLEDGED_WITHIN)

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.round, EVERY, "uploads_not_activated", first=0)

    async def round(self) -> int:
        """Returns how many went live. Raises asyncpg's errors."""
        rows = await self._pool.fetch(WAITING, BATCH)
        if not rows:
            return 0
        async with self._pool.acquire() as connection:
            xid = await transaction_id(connection)  # whoever has seen it has seen what was committed before
        seen = await self._propagation.wait(xid, self._bound)
        if seen.seen < seen.known:
            log.warning("sidecars_behind", seen=seen.seen, known=seen.known)
        return sum(await asyncio.gather(*(self._activate(row["id"], row["hostname"], xid) for row in rows)))

    async def _activate(self, domain_id: UUID, hostname: str, xid: int) -> bool:
        seen = await self._propagation.wait(xid, self._envoys_bound, hostname)
        if not seen.settled or seen.rejected:
            log.warning("envoys_behind", hostname=hostname, **seen.to_json()["envoys"])
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                domain = await transition.load_live(connection, domain_id)
                if domain.status != "verified" or domain.uploaded is None:
                    return False
                facts = {"serial": domain.uploaded.serial, "certificate": "uploaded", **seen.to_json()}
                await transition.apply(connection, domain_id, "certificate_loaded", self._actor, detail=facts)
        except transition.DomainGone:
            return False
        log.info("domain_active", hostname=hostname, certificate="uploaded")
        return True
