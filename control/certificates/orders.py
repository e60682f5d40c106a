"""The orders of domains as they are written down, and what they cost at the CA.

All methods raise DomainGone, LeaseLost, Paused, and asyncpg's errors (see control.certificates.held).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from control.certificates.held import Connection, Held
from control.domains import transition
from control.jobs import Job
from core.domain import Domain


class Limits(Protocol):
    """What may be spent at a CA; each method within a transaction of the caller."""

    async def take(
        self, connection: Connection, directory_url: str, hostnames: Sequence[str], *, renewal_exempt: bool = False
    ) -> None:
        """Spend an order. Raises control.limits.limits.LimitReached, and has spent nothing then."""

    async def failed_validation(self, connection: Connection, directory_url: str, hostname: str) -> None: ...

    async def not_issued(
        self, connection: Connection, directory_url: str, hostname: str, *, renewal_exempt: bool = False
    ) -> None: ...

    async def succeeded(self, connection: Connection, directory_url: str, hostname: str) -> None: ...

    async def refused_by_ca(
        self, connection: Connection, directory_url: str, hostname: str, problem_detail: str, until: datetime | None
    ) -> datetime:
        """The CA says that a limit is reached, whatever we have counted. Returns until when."""
        ...


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """`url`: None until the CA's answer is written down. `fresh`: written down just now, so the CA cannot know it.

    `exempt`: as it was spent.
    """

    id: UUID
    directory_url: str
    url: str | None
    created_at: datetime
    fresh: bool = False
    exempt: bool = False


class Orders:
    """`actor`: for the audit. `limits`: of the CAs."""

    def __init__(self, pool: asyncpg.Pool[Any], actor: str, limits: Limits) -> None:
        self._pool = pool
        self._held = Held(pool)
        self._actor = actor
        self._limits = limits

    async def under_way(self, job: Job) -> OpenOrder | None:
        async with self._held.by(job) as (connection, _):
            row = await connection.fetchrow(
                """SELECT id, directory_url, order_url, created_at, exempt FROM acme_orders
                   WHERE domain_id = $1 AND state = 'open'""",
                job.domain_id,
            )
        if row is None:
            return None
        return OpenOrder(row["id"], row["directory_url"], row["order_url"], row["created_at"], exempt=row["exempt"])

    async def open(self, job: Job, directory_url: str, *, renewal_exempt: bool = False) -> OpenOrder:
        """A new order, written down before the CA hears of it, and spent in the same transaction.

        Raises control.limits.limits.LimitReached.
        """
        async with self._held.by(job) as (connection, domain):
            row = await connection.fetchrow(
                """INSERT INTO acme_orders (domain_id, directory_url, exempt) VALUES ($1, $2, $3)
                   RETURNING id, directory_url, order_url, created_at""",
                job.domain_id,
                directory_url,
                renewal_exempt,
            )
            await self._limits.take(connection, directory_url, [domain.hostname], renewal_exempt=renewal_exempt)
            if domain.ssl_status in ("none", "error"):
                event = "order_started" if domain.certificate is None else "renewal_started"
                await transition.apply(connection, job.domain_id, event, self._actor, lease=job.lease_token)
            return OpenOrder(
                row["id"],
                row["directory_url"],
                row["order_url"],
                row["created_at"],
                fresh=True,
                exempt=renewal_exempt,
            )

    async def spend(self, job: Job, directory_url: str) -> None:
        """For an order that was exempt from the limits, and that the CA takes for no renewal. Raises LimitReached."""
        async with self._held.by(job) as (connection, domain):
            # What it took although it was exempt; `take` counts it with the rest. Only this job locks that bucket.
            await self._limits.not_issued(connection, directory_url, domain.hostname, renewal_exempt=True)
            await self._limits.take(connection, directory_url, [domain.hostname])
            await connection.execute(
                "UPDATE acme_orders SET exempt = FALSE WHERE domain_id = $1 AND state = 'open'", job.domain_id
            )

    async def unrecorded(self, directory_url: str, urls: Sequence[str]) -> Sequence[str]:
        """Those of the CA's orders that are written down nowhere."""
        rows = await self._pool.fetch(
            "SELECT order_url FROM acme_orders WHERE directory_url = $1 AND order_url = ANY($2)",
            directory_url,
            list(urls),
        )
        known = {row["order_url"] for row in rows}
        return [url for url in urls if url not in known]

    async def sent(self, job: Job, order: OpenOrder, url: str) -> None:
        async with self._held.by(job) as (connection, _):
            await connection.execute(
                "UPDATE acme_orders SET order_url = $2, updated_at = now() WHERE id = $1", order.id, url
            )

    async def close(self, job: Job, problem: Mapping[str, Any], *, give_back: bool = False) -> None:
        """The order came to nothing, and not by a failure of the domain.

        `give_back`: it is certain that the CA issues nothing for it.
        """
        async with self._held.by(job) as (connection, domain):
            await self.end(connection, job, domain, problem, give_back=give_back)

    async def close_old(self, job: Job, problem: Mapping[str, Any], age: timedelta) -> bool:
        """The same, if it is older than that by PostgreSQL's clock."""
        async with self._held.by(job) as (connection, domain):
            old = await connection.fetchval(
                """SELECT true FROM acme_orders
                   WHERE domain_id = $1 AND state = 'open' AND created_at < now() - $2::interval""",
                job.domain_id,
                age,
            )
            if old:
                await self.end(connection, job, domain, problem, give_back=False)
            return bool(old)

    async def refused_lately(self, job: Job) -> frozenset[str]:
        """The directories whose newest order for the domain, within a day, an operator would have to mend."""
        rows = await self._pool.fetch(
            """SELECT directory_url FROM (
                   SELECT DISTINCT ON (directory_url) directory_url, problem FROM acme_orders
                   WHERE domain_id = $1 AND created_at > now() - interval '1 day'
                   ORDER BY directory_url, created_at DESC) newest
               WHERE problem->>'who' = 'operator'""",
            job.domain_id,
        )
        return frozenset(row["directory_url"] for row in rows)

    async def refused_by_ca(
        self, job: Job, directory_url: str, problem: Mapping[str, Any], until: datetime | None
    ) -> datetime:
        """Nothing that falls under the CA's limit is sent before the time returned. `until`: by its Retry-After."""
        async with self._held.by(job) as (connection, domain):
            detail = str(problem.get("detail", ""))
            return await self._limits.refused_by_ca(connection, directory_url, domain.hostname, detail, until)

    async def end(
        self, connection: Connection, job: Job, domain: Domain, problem: Mapping[str, Any], *, give_back: bool
    ) -> None:
        """Close the order that is open, if there is one, in a transaction of the caller."""
        closed = await connection.fetchrow(
            """UPDATE acme_orders SET state = 'failed', problem = $2, updated_at = now()
               WHERE domain_id = $1 AND state = 'open' RETURNING directory_url, exempt""",
            job.domain_id,
            json.dumps(dict(problem)),
        )
        if closed is None:
            return
        await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)
        if give_back:
            await self._limits.not_issued(
                connection, closed["directory_url"], domain.hostname, renewal_exempt=closed["exempt"]
            )
