"""Tells tenants before an authority or a revocation list of a domain's client certificates runs out, and when it has.

Nothing else happens at that moment: the data path refuses those clients by the clock.
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
from control.domains.transition import record

EVERY = 60.0  # seconds, with jitter
BATCH = 100
HOUR = timedelta(hours=1)

# Hours before the end of an authority, and of a list; the longest first.
WARNINGS = {"ca": (720, 336, 168, 24, 0), "crl": (48, 24, 12, 6, 0)}
# Not before so much of what was left when it was given is over: a list of a day is replaced every day, untold.
LEFT = 3

DUE = """SELECT a.domain_id FROM client_auth a JOIN custom_domains d ON d.id = a.domain_id
    WHERE d.deleted_at IS NULL AND (
        (ca_warned > 0 AND ca_until <= $1::timestamptz + ($2::int[])[1] * interval '1 hour'
            AND EXISTS (SELECT FROM unnest($2::int[]) hours
                        WHERE hours < ca_warned AND ca_until <= $1::timestamptz + hours * interval '1 hour'))
        OR (crl_warned > 0 AND crl_until <= $1::timestamptz + ($3::int[])[1] * interval '1 hour'
            AND EXISTS (SELECT FROM unnest($3::int[]) hours
                        WHERE hours < crl_warned AND crl_until <= $1::timestamptz + hours * interval '1 hour')))
    ORDER BY least(ca_until, crl_until) LIMIT $4"""
STANDING = "SELECT ca_until, crl_until, ca_warned, crl_warned FROM client_auth WHERE domain_id = $1 FOR UPDATE"
WARNED = "UPDATE client_auth SET ca_warned = $2, crl_warned = $3 WHERE domain_id = $1"
SENTENCES = {
    "ca": ("An authority of its client certificates", "Its clients are refused then: add the next one now."),
    "crl": ("A revocation list of its client certificates", "All clients of its authority are refused then."),
}

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
        await rounds.keep(self.round, EVERY, "client_auth_not_followed", first=0, batch=BATCH)

    async def round(self) -> int:
        """Those whose turn it is, at most BATCH; returns how many were told. Raises asyncpg's errors."""
        rows = await self._pool.fetch(DUE, self._now(), *WARNINGS.values(), BATCH)
        return sum([await self._warn(row["domain_id"]) for row in rows])

    async def _warn(self, domain_id: UUID) -> bool:
        """False: another replica has, or there is nothing to tell any more."""
        now = self._now()
        try:
            async with brief(self._pool) as connection:
                domain = await transition.load_live(connection, domain_id)
                row = await connection.fetchrow(STANDING, domain_id)
                if row is None:
                    return False
                due = {what: warning(what, row[f"{what}_until"], row[f"{what}_warned"], now) for what in WARNINGS}
                for what, hours in due.items():
                    if hours is None:
                        continue
                    until = row[f"{what}_until"]
                    what_ends, advice = SENTENCES[what]
                    when = f"ends at {until:%Y-%m-%d %H:%M} UTC" if until > now else "has run out"
                    told = {"message": f"{what_ends} {when}. {advice}", "who": "tenant"}
                    facts = {"not_after": until.isoformat()}
                    await record(connection, domain, f"client_{what}_ending", self._actor, facts, told)
                warned = [row[f"{what}_warned"] if hours is None else hours for what, hours in due.items()]
                await connection.execute(WARNED, domain_id, *warned)
        except (transition.DomainGone, *TAKEN):
            return False
        return any(hours is not None for hours in due.values())


def warning(what: str, until: datetime | None, warned: int, now: datetime) -> int | None:
    """The warning that is due: the last whose time has come, unless it was given. None: there is none."""
    if until is None:
        return None
    return min((hours for hours in WARNINGS[what] if hours < warned and until <= now + hours * HOUR), default=None)


def hours_to_warn(until: datetime | None, now: datetime) -> int:
    """What counts as warned of already when it is given: only those warnings are left that come late in its time."""
    return 0 if until is None else max(1, int((until - now) / HOUR) // LEFT)
