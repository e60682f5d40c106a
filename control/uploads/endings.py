"""Follows uploaded certificates to their end: warns their tenants, then lets the managed certificate take over.

`uploads.due_at` says when the turn of each comes (control.uploads.schedule). While one is served, the managed
certificate is obtained and renewed beneath it as ever; a warning also gives a managed one that is paused, though not by
its tenant, or was never ordered, one more try, so that there is something to take over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from control import rounds
from control.db.brief import TAKEN, brief
from control.domains import transition
from control.uploads import steps
from control.uploads.schedule import Life
from core.domain import Domain

EVERY = 10.0  # seconds, with jitter
BATCH = 100

DUE = """SELECT domain_id FROM uploads WHERE ended_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT $2"""
STANDING = "SELECT not_before, not_after, due_at FROM uploads WHERE domain_id = $1 AND ended_at IS NULL FOR UPDATE"
NEXT = "UPDATE uploads SET due_at = $2 WHERE domain_id = $1 AND ended_at IS NULL"
OBTAIN = """INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')
    ON CONFLICT (domain_id) DO UPDATE SET run_at = now(), asked = jobs.asked + 1, attempts = 0
    WHERE jobs.kind = 'obtain'"""
TRY_NOW = "UPDATE custom_domains SET next_attempt = NULL WHERE id = $1"

# Nothing of the managed certificate comes by itself in these, or not soon.
IDLE = frozenset({"none", "error", "paused"})

log = structlog.get_logger(__name__)


class Endings:
    """`actor`: for the audit."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        actor: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._now = now

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.round, EVERY, "uploads_not_followed", first=0, batch=BATCH)

    async def round(self) -> int:
        """Those whose turn it is, at most BATCH; returns of how many it was. Raises asyncpg's errors."""
        rows = await self._pool.fetch(DUE, self._now(), BATCH)
        return sum([await self._follow(row["domain_id"]) for row in rows])

    async def _follow(self, domain_id: UUID) -> bool:
        """False: another replica is at it."""
        try:
            async with brief(self._pool) as connection:
                before = await transition.load(connection, domain_id)
                if before is not None and wants_managed(before):  # the job comes before the domain
                    await connection.execute(OBTAIN, domain_id)
                await self._settle(connection, await transition.load_live(connection, domain_id))
        except transition.DomainGone:
            await self._pool.execute(steps.END, domain_id, "deleted")
        except TAKEN:
            return False
        return True

    async def _settle(self, connection: steps.Connection, domain: Domain) -> None:
        now = self._now()
        row = await connection.fetchrow(STANDING, domain.id)
        if row is None or row["due_at"] > now:
            return
        life = Life(row["not_before"], row["not_after"])
        managed_until = None if domain.certificate is None else domain.certificate.not_after
        if wants_managed(domain) and domain.ssl_status == "paused":
            await transition.apply(connection, domain.id, "resumed", self._actor)
            await connection.execute(TRY_NOW, domain.id)
        if life.is_over(now, managed_until):
            told = told_of(managed_until is not None and managed_until > now)
            await steps.end(connection, domain, "ran_out", "expired", self._actor, told)
            log.info("upload_expired", hostname=domain.hostname, managed=managed_until is not None)
            return
        days = life.warning(now)
        if days is not None and life.not_after - timedelta(days=days) >= row["due_at"]:
            facts = {**steps.facts_of(domain), "days": days}
            await steps.tell(connection, domain, "end_near", self._actor, facts, told_of(managed_until is not None))
        await connection.execute(NEXT, domain.id, life.due_at(now))


def wants_managed(domain: Domain) -> bool:
    """Whether the managed certificate has to be pushed, so that it is there when the uploaded one is not."""
    if domain.deleted_at is not None or domain.paused_from is not None:
        return False
    return domain.status in ("verified", "active") and domain.ssl_status in IDLE


def told_of(has_managed: bool) -> Mapping[str, Any]:
    if has_managed:
        return {"message": "The platform's own certificate takes its place.", "who": "nobody"}
    message = "There is no other certificate for this name so far; see what its document says of it."
    return {"message": message, "who": "tenant"}
