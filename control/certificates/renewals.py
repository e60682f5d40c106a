"""The scheduler of renewals: what is due becomes `expiring`, with its `obtain` job, in one transaction.

Only a few are begun at once. The rest stay in the index, so that one which has little time left passes those that have
more, and a backlog of thousands is no queue in front of a new tenant's first certificate.
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
from control.domains import transition
from control.domains.states import IllegalTransition

OUTSTANDING = 200  # renewals begun and not over, of all replicas together
EVERY = 10.0  # seconds, with jitter

# How far each front is read to find those that expire first.
CANDIDATES = 2000

log = structlog.get_logger(__name__)

# A renewal that waits longer does so for its own name's sake (a limit of its registered domain); it takes no place.
COUNT_OUTSTANDING = """
SELECT count(*) FROM (
    SELECT FROM custom_domains d JOIN jobs j ON j.domain_id = d.id
    WHERE d.deleted_at IS NULL AND d.status = 'active' AND d.ssl_status = 'expiring'
        AND j.run_at < now() + interval '2 hours'
    LIMIT $1) AS outstanding
"""

# MATERIALIZED: each front is read in the order of its index and no further than its limit.
PICK = """
WITH longest_due AS MATERIALIZED (
    SELECT id, cert_expiry FROM custom_domains
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('issued', 'renewed') AND renew_at <= $1
    ORDER BY renew_at LIMIT $2),
first_to_expire AS MATERIALIZED (
    SELECT id, cert_expiry, renew_at FROM custom_domains
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('issued', 'renewed')
    ORDER BY cert_expiry, renew_at LIMIT $2),
due AS (
    SELECT id, cert_expiry FROM longest_due
    UNION SELECT id, cert_expiry FROM first_to_expire WHERE renew_at <= $1)
SELECT d.id FROM custom_domains d JOIN (
    SELECT id FROM due WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.domain_id = due.id)
    ORDER BY cert_expiry, id LIMIT $3) AS chosen USING (id)
ORDER BY d.cert_expiry, d.id FOR UPDATE OF d SKIP LOCKED
"""

STILL_DUE = """
SELECT true FROM custom_domains
WHERE id = $1 AND deleted_at IS NULL AND status = 'active' AND ssl_status IN ('issued', 'renewed') AND renew_at <= $2
FOR UPDATE
"""


class NotDue(Exception):
    """Something happened to the domain since it was picked."""


class Renewals:
    """`actor`: for the audit. `outstanding`: the most that are begun and not over."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        actor: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        outstanding: int = OUTSTANDING,
        every: float = EVERY,
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._now = now
        self._outstanding = outstanding
        self._every = every

    async def run(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.due, self._every, "renewals_not_scheduled")

    async def due(self, limit: int | None = None) -> int:
        """Begin what is due, first to expire first, as far as there is room. Returns how many were begun.

        Raises asyncpg's errors; each renewal is a transaction of its own, so what was begun stays begun.
        """
        outstanding = await self._pool.fetchval(COUNT_OUTSTANDING, self._outstanding)
        room = self._outstanding - outstanding
        if limit is not None:
            room = min(room, limit)
        if room <= 0:
            return 0
        # The locks end with the statement: they only pass over what somebody else is at.
        rows = await self._pool.fetch(PICK, self._now(), CANDIDATES, room)
        started = 0
        for row in rows:
            started += await self._start(row["id"])
        if started:
            log.info("renewals_scheduled", number=started)
        return started

    async def _start(self, domain_id: UUID) -> bool:
        """False: another replica was first, or something happened to the domain.

        The job comes before the domain, in the order in which all take these locks. Its key lets one replica win.
        """
        try:
            async with brief(self._pool) as connection:
                job = await connection.fetchval(
                    """INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')
                       ON CONFLICT (domain_id) DO NOTHING RETURNING true""",
                    domain_id,
                )
                if job is None:
                    return False
                if await connection.fetchval(STILL_DUE, domain_id, self._now()) is None:
                    raise NotDue
                await transition.apply(connection, domain_id, "expiry_near", self._actor)
        except (NotDue, IllegalTransition, transition.DomainGone, *TAKEN):
            return False
        return True


async def replace_all(
    connection: asyncpg.Connection[Any],
    *,
    within: timedelta,
    directory_url: str | None = None,
    issuer: str | None = None,
    serials: frozenset[str] | None = None,
    batch: int = 1000,
) -> int:
    """Spread the replacement of the certificates that are served over the time given. Returns how many there are.

    Whichever of `directory_url`, `issuer` (common name) and `serials` (lower-case hexadecimal) is given must fit. What
    is due earlier stays so, so it can be repeated. The CA is asked no more when these certificates should be renewed.
    """
    found, after = 0, UUID(int=0)
    while True:
        rows = await connection.fetch(
            """UPDATE custom_domains d SET renewal_info_at = NULL,
                   renew_at = least(d.renew_at, now() + $2::interval * random())
               FROM (SELECT d.id FROM custom_domains d JOIN certificates c ON c.id = d.certificate_id
                     WHERE d.id > $1 AND d.deleted_at IS NULL AND d.status = 'active'
                         AND coalesce(d.paused_from, d.ssl_status) IN ('issued', 'renewed')
                         AND ($3::text IS NULL OR c.directory_url = $3) AND ($4::text IS NULL OR c.issuer = $4)
                         AND ($5::text[] IS NULL OR c.serial = ANY($5))
                     ORDER BY d.id LIMIT $6 FOR UPDATE OF d) AS chosen
               WHERE d.id = chosen.id RETURNING d.id""",
            after,
            within,
            directory_url,
            issuer,
            None if serials is None else sorted(serials),
            batch,
        )
        if not rows:
            return found
        found += len(rows)
        after = max(row["id"] for row in rows)
