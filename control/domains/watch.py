"""The watch: names that are active, or were, are looked at again, so that one that has left is no longer renewed.

    active ── three looks in a row miss it ──▶ moved ── one look finds it ──▶ active

`look_at` is when a name's turn is, and the lease as well: whoever takes a name moves it on. A miss is a look in which
every resolver answers and none sees it here (control.dns.sighting); nothing else counts, however often it happens.

| after | the next look |
| --- | --- |
| a hit, or a look that could tell nothing | an interval later |
| a miss | a twelfth of it later, so that a name which has left is known in an hour |
| each miss of a moved name | twice as late as the one before, up to the interval |

Every pause is jittered, and a replica looks at no more than RATE names a second, so that a million are spread out, and
are spread out again after an outage. A name whose DNS hangs takes one place of CONCURRENCY, and holds up no other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import structlog

from control.db.away import AWAY
from control.dns.presence import Presence
from control.dns.sighting import Code, Place
from control.domains.transition import DomainGone, apply, load_live
from control.domains.verify import is_news
from core.domain import COLUMNS, TABLES, Domain, Finding

INTERVAL = timedelta(hours=6)  # unless the settings say otherwise
MISSES = 3
NEAR = 12  # parts of the interval, between the looks that decide
JITTER = 0.2  # of a pause, either way
CONCURRENCY = 50  # looks at once
BATCH = 20  # names taken at once
RATE = 200.0  # names a second
POLL = 2.0  # seconds between two looks for names whose turn it is
LEASE = timedelta(minutes=2)  # longer than any look takes

TAKE = """UPDATE custom_domains SET look_at = $1::timestamptz + $2 WHERE id IN (
        SELECT id FROM custom_domains
        WHERE deleted_at IS NULL AND status IN ('active', 'moved') AND look_at <= $1
        ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id, look_at"""
READ = f"""SELECT {COLUMNS}, d.arrived_at IS NOT NULL AS arrived, EXISTS (
        SELECT FROM custom_domains rival WHERE rival.hostname = d.hostname AND rival.deleted_at IS NULL
            AND rival.status = 'dns_check' AND rival.dns_finding->>'code' = 'hostname_in_use') AS contested
    FROM {TABLES} WHERE d.id = ANY($1)"""  # noqa: S608 -- constants
# A clock that was wrong for a while leaves turns far in the future behind.
MEND = """UPDATE custom_domains SET look_at = $1::timestamptz + random() * $2::interval WHERE id IN (
        SELECT id FROM custom_domains
        WHERE deleted_at IS NULL AND status IN ('active', 'moved') AND look_at > $1::timestamptz + 2 * $2::interval
        ORDER BY look_at DESC LIMIT 1000 FOR UPDATE SKIP LOCKED)"""
STANDING = "SELECT misses, look_at FROM custom_domains WHERE id = $1"
SETTLE = """UPDATE custom_domains SET misses = $2, looked_at = $3, look_at = $4,
    arrived_at = CASE WHEN $5 THEN coalesce(arrived_at, $3) ELSE arrived_at END WHERE id = $1"""
FOUND = "UPDATE custom_domains SET dns_finding = $2 WHERE id = $1"
# A certificate that was due while the name was away is renewed now; the others have their time (`renew_at`).
RESUME = """INSERT INTO jobs (domain_id, kind) SELECT id, 'obtain' FROM custom_domains
    WHERE id = $1 AND deleted_at IS NULL AND status = 'moved'
        AND ssl_status IN ('none', 'expiring', 'error', 'validating')
    ON CONFLICT (domain_id) DO NOTHING"""

Connection: TypeAlias = "asyncpg.Connection[Any]"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """A name that was taken. `lease`: what its `look_at` was set to."""

    domain: Domain
    arrived: bool
    contested: bool
    lease: datetime


class Watch:
    """`actor`: as the audit log names it, `control:<replica>`. `interval`: between two looks at a name that is here."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        presence: Presence,
        actor: str,
        clock: Callable[[], datetime],
        interval: timedelta = INTERVAL,
    ) -> None:
        self._pool = pool
        self._presence = presence
        self._actor = actor
        self._clock = clock
        self._interval = interval

    async def run(self) -> None:
        """Until cancelled."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                free = min(CONCURRENCY - len(running), BATCH)
                turns: Sequence[Turn] = ()
                try:
                    turns = await self._take(free) if free else ()
                except AWAY as error:
                    log.warning("watch_interrupted", error=type(error).__name__)
                for turn in turns:
                    task = asyncio.create_task(self._look(turn), name=f"look at {turn.domain.hostname}")
                    running.add(task)
                    task.add_done_callback(running.discard)
                await asyncio.sleep(POLL if len(turns) < free else BATCH / RATE)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def round(self) -> int:
        """Look at the names whose turn it is, at most CONCURRENCY; return how many. Raises what PostgreSQL raises."""
        turns = await self._take(CONCURRENCY)
        await asyncio.gather(*(self._look(turn) for turn in turns))
        return len(turns)

    async def _take(self, limit: int) -> Sequence[Turn]:
        async with self._pool.acquire() as connection, connection.transaction():
            leases = {row["id"]: row["look_at"] for row in await connection.fetch(TAKE, self._clock(), LEASE, limit)}
            if len(leases) < limit:
                await connection.execute(MEND, self._clock(), max(self._interval, LEASE))
            rows = await connection.fetch(READ, list(leases)) if leases else []
        return [Turn(Domain.from_row(row), row["arrived"], row["contested"], leases[row["id"]]) for row in rows]

    async def _look(self, turn: Turn) -> None:
        """What goes wrong is logged: the name has its turn again when the lease is over, and no other waits for it."""
        domain = turn.domain
        try:
            place, finding = await self._presence.look(domain, arrived=turn.arrived, contested=turn.contested)
            async with self._pool.acquire() as connection, connection.transaction():
                await self._settle(connection, turn, place, finding)
        except DomainGone:
            return
        except AWAY as error:
            log.warning("look_interrupted", hostname=domain.hostname, error=type(error).__name__)
        except Exception:
            log.exception("look_failed", hostname=domain.hostname)

    async def _settle(self, connection: Connection, turn: Turn, place: Place, finding: Finding) -> None:
        hostname = turn.domain.hostname
        if place == "here" and turn.domain.status == "moved":
            await connection.execute(RESUME, turn.domain.id)  # before the domain is locked: jobs come first
        domain = await load_live(connection, turn.domain.id)
        standing = await connection.fetchrow(STANDING, domain.id)
        if standing["look_at"] is None or standing["look_at"] > turn.lease or domain.status != turn.domain.status:
            return  # another replica has looked meanwhile
        misses = standing["misses"]
        if place == "elsewhere":
            misses += 1
        elif place == "here":
            misses = 0
        if domain.status == "active" and misses >= MISSES:
            await apply(connection, domain.id, "moved_away", self._actor, detail={"misses": misses}, finding=finding)
            log.info("domain_moved_away", hostname=hostname, finding=finding.code)
        elif domain.status == "moved" and place == "here":
            await apply(connection, domain.id, "came_back", self._actor, finding=finding)
            log.info("domain_came_back", hostname=hostname)
        elif is_told(place, standing["misses"]) and is_news(domain.dns_finding, finding):
            await connection.execute(FOUND, domain.id, finding.to_json())
        now = self._clock()
        arrived = place == "here" and finding.code != Code.DELEGATED
        await connection.execute(SETTLE, domain.id, misses, now, now + pause(self._interval, misses), arrived)


def is_told(place: Place, misses: int) -> bool:
    """Whether the tenant is to see the finding: what is wrong, and that it is no longer."""
    return place in ("elsewhere", "partly") or (place == "here" and misses > 0)


def pause(interval: timedelta, misses: int) -> timedelta:
    """Until the next look, after so many misses in a row."""
    bare = interval if misses == 0 else min(interval, interval / NEAR * 2 ** min(max(misses - MISSES, 0), 10))
    return bare * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 -- jitter
