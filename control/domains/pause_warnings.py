"""Warns of paused domains whose certificate is about to end: whoever has paused one may have forgotten it.

`warn_at` says when the turn of each comes; a pause sets it to now. A name that has moved away is not renewed anyway,
and of an uploaded certificate, which is served instead, others warn (control.uploads.endings).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from control import rounds
from control.db.brief import TAKEN, brief
from control.domains.transition import DomainGone, apply, load_live
from core.domain import Domain

EVERY = 30.0  # seconds, with jitter
BATCH = 100
WARNINGS = (14, 7, 3, 1)  # days before the end
# Nothing to warn of now, and there may be later.
LOOK_AGAIN = timedelta(days=1)

DUE = """SELECT id FROM custom_domains WHERE deleted_at IS NULL AND warn_at IS NOT NULL AND warn_at <= $1
    ORDER BY warn_at LIMIT $2"""
TURN = "SELECT warn_at FROM custom_domains WHERE id = $1"
NEXT = "UPDATE custom_domains SET warn_at = $2 WHERE id = $1"

log = structlog.get_logger(__name__)


class PauseWarnings:
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
        await rounds.keep(self.round, EVERY, "pauses_not_followed", first=0, batch=BATCH)

    async def round(self) -> int:
        """Those whose turn it is, at most BATCH; returns of how many it was. Raises asyncpg's errors."""
        rows = await self._pool.fetch(DUE, self._now(), BATCH)
        return sum([await self._follow(row["id"]) for row in rows])

    async def _follow(self, domain_id: UUID) -> bool:
        """False: another replica is at it, or it is gone."""
        try:
            async with brief(self._pool) as connection:
                domain = await load_live(connection, domain_id)
                now, turn = self._now(), await connection.fetchval(TURN, domain_id)
                if turn is None or turn > now:
                    return False
                end = end_of(domain)
                if end is not None and is_near(end, now):
                    facts = {"not_after": end, "days": (end - now).days}
                    await apply(connection, domain_id, "certificate_ending", self._actor, detail=facts)
                    log.info("paused_certificate_ends", hostname=domain.hostname, not_after=end.isoformat())
                await connection.execute(NEXT, domain_id, next_look(end, now))
        except (DomainGone, *TAKEN):
            return False
        return True


def end_of(domain: Domain) -> datetime | None:
    """Of the certificate that is served, and would be renewed if the domain were not paused."""
    if domain.certificate is None or domain.uploaded is not None or domain.status == "moved":
        return None
    return domain.certificate.not_after


def is_near(end: datetime, now: datetime) -> bool:
    return end - timedelta(days=max(WARNINGS)) <= now < end


def next_look(end: datetime | None, now: datetime) -> datetime | None:
    """Always after `now`; None: never again."""
    if end is None:
        return now + LOOK_AGAIN
    return min((moment for days in WARNINGS if (moment := end - timedelta(days=days)) > now), default=None)
