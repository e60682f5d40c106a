"""The verifier: one look at a domain's DNS, the steps that follow from it, and when to look again.

    pending ── record_found ──▶ dns_check ── ownership_proven ──▶ verified, and the job becomes `obtain`
       └──────────┬─────────────────┘
             window_expired ──▶ failed

A proof of a name that another tenant has, or had a moment ago, stays `dns_check` (control.domains.claims).

`record_found` has a transaction of its own, so that `dns_check` can be seen. The last look is taken at the deadline,
not before it. Jobs run in tasks of their own (control.worker), so a slow resolver delays no other domain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from control.dns.ownership import Look, Ownership
from control.domains.claims import COOL_DOWN, VERIFIED_BY, prove
from control.domains.transition import DomainGone, apply, load
from control.jobs import Again, Done, Job, Outcome, become
from core import trace
from core.domain import Domain, Finding

VERIFIABLE = frozenset({"pending", "dns_check"})
JITTER = 0.1  # of the interval, either way, so that domains added together do not stay together
# A finding that has not changed is stored again this often, so that its time says when we last looked.
REFRESH = timedelta(minutes=5)

log = structlog.get_logger(__name__)


class Verifier:
    """`actor`: as the audit log names it, `control:<replica>`. `interval`: between two looks at a domain.

    `cool_down`: how long a name that was proven is kept from other tenants once it is given up.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        ownership: Ownership,
        actor: str,
        interval: timedelta,
        clock: Callable[[], datetime],
        cool_down: timedelta = COOL_DOWN,
    ) -> None:
        self._pool = pool
        self._ownership = ownership
        self._actor = actor
        self._interval = interval
        self._clock = clock
        self._cool_down = cool_down

    async def verify(self, job: Job) -> Outcome:
        """The handler of `verify` jobs. Raises LeaseLost, and what PostgreSQL raises."""
        async with self._pool.acquire() as connection:
            domain = await load(connection, job.domain_id)
        if domain is None or domain.deleted_at is not None:
            return Done()
        if domain.status == "verified":
            # "Verify now" was asked for just when the job became `obtain`: give it back its kind.
            async with self._pool.acquire() as connection, connection.transaction():
                await become(connection, job, "obtain")
        if domain.status not in VERIFIABLE:
            return Done()
        started = self._clock()
        with trace.span("dns look", hostname=domain.hostname) as span:
            look = await self._ownership.look(domain)
            span.set(verdict=look.verdict, finding=look.finding.code)
        try:
            return await self._follow(job, domain, look, started)
        except DomainGone:
            return Done()

    async def _follow(self, job: Job, domain: Domain, look: Look, started: datetime) -> Outcome:
        if look.verdict != "absent" and domain.status == "pending":
            domain = await self._apply(job, "record_found", look.finding)
        finding = look.finding
        if look.verdict in VERIFIED_BY:
            hindrance = await self._prove(job, domain, look)
            if hindrance is None:
                log.info("domain_verified", hostname=domain.hostname, by=VERIFIED_BY[look.verdict])
                return Done()
            finding = hindrance
        if started >= domain.verify_deadline:
            await self._apply(job, "window_expired", finding)
            log.info("verification_expired", hostname=domain.hostname, finding=finding.code)
            return Done()
        if is_news(domain.dns_finding, finding):
            await self._store(job, finding)
        delay = self._interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 -- jitter
        return Again(min(delay, max(domain.verify_deadline - self._clock(), timedelta(0))), progress=True)

    async def _apply(self, job: Job, event: str, finding: Finding) -> Domain:
        async with self._pool.acquire() as connection, connection.transaction():
            return await apply(connection, job.domain_id, event, self._actor, finding=finding, lease=job.lease_token)

    async def _prove(self, job: Job, domain: Domain, look: Look) -> Finding | None:
        async with self._pool.acquire() as connection, connection.transaction():
            return await prove(connection, job, domain, look, self._actor, self._cool_down)

    async def _store(self, job: Job, finding: Finding) -> None:
        """One UPDATE without locks on the job: a worker that lost its lease writes nothing, or what it truly found."""
        await self._pool.execute(
            """UPDATE custom_domains SET dns_finding = $2
               WHERE id = $1 AND deleted_at IS NULL AND status IN ('pending', 'dns_check')
                   AND EXISTS (SELECT FROM jobs WHERE domain_id = $1 AND lease_token = $3)""",
            job.domain_id,
            finding.to_json(),
            job.lease_token,
        )


def is_news(stored: Finding | None, found: Finding) -> bool:
    """Whether it says something else than the stored one, or that one has become old."""
    if stored is None or found.at - stored.at >= REFRESH:
        return True
    return (stored.code, stored.message, stored.detail) != (found.code, found.message, found.detail)
