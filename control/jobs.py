"""Work on domains, claimed from PostgreSQL by leases, so that any number of replicas share it without a leader.

A domain has at most one row in `jobs`, so no two pieces of work on it ever run together. A claim gives the row a new
lease token; whoever writes on behalf of the job checks in the same transaction that the token still stands, so a
worker that lost its lease (paused, cut off) changes nothing. A killed worker's job is claimed again when its lease
runs out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg

from control.db.trace import TRACED, tell
from core.errors import NameplateError

Kind = Literal["verify", "obtain", "revoke"]

# Longer than a healthy worker ever pauses between two renewals; the price is how long a killed one's work waits.
LEASE = timedelta(seconds=15)


class LeaseLost(NameplateError):
    """Another worker has the job, or it is gone. The holder must stop without writing."""

    def __init__(self, domain_id: UUID) -> None:
        super().__init__("lease_lost", f"The lease on domain {domain_id} is lost.")


@dataclass(frozen=True, slots=True)
class Job:
    domain_id: UUID
    kind: Kind
    attempts: int  # how often it was claimed, this time included
    lease_token: UUID
    asked: int  # how often it had been asked for when it was claimed
    trace: str | None = None  # the traceparent of whoever asked for it, if that was not long ago


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do of this kind."""


@dataclass(frozen=True, slots=True)
class Again:
    """To be claimed again after the delay. `progress`: the next claim counts as a first attempt."""

    delay: timedelta
    progress: bool = False


Outcome = Done | Again


# The queues, each read from the front of its own index (migration 0008): which jobs, in which order.
OLDEST: Mapping[Kind, str] = {
    kind: f"jobs j WHERE kind = '{kind}' ORDER BY run_at" for kind in ("verify", "obtain", "revoke")
}
DUE = "kind = 'obtain' AND due"
URGENT = f"jobs j WHERE {DUE} AND urgent_at <= now() ORDER BY urgent_at"
RENEWALS = f"jobs j WHERE {DUE} AND expires_at IS NOT NULL ORDER BY expires_at"
FIRST = f"jobs j WHERE {DUE} AND turn IS NOT NULL ORDER BY turn"
# These need no room at the CA: their order is there, or outside its limits.
UNDER_WAY = f"acme_orders o JOIN jobs j ON j.domain_id = o.domain_id WHERE o.state = 'open' AND {DUE} ORDER BY run_at"
EXEMPT = f"jobs j WHERE {DUE} AND exempt_until > now() AND exempt_from <= now() ORDER BY exempt_until"

# A job whose time has come is given its turn, by the trigger `give_turn`.
GIVE_TURNS = """
UPDATE jobs SET due = TRUE WHERE domain_id IN (
    SELECT domain_id FROM jobs WHERE kind = 'obtain' AND NOT due AND run_at <= now()
    ORDER BY run_at LIMIT 100 FOR UPDATE SKIP LOCKED)
"""


def claiming(queue: str) -> str:
    """The statement that takes up to $1 jobs from the front of a queue, until $2 from now, as $3."""
    which, _, order = queue.partition("ORDER BY")
    # MATERIALIZED: the limit holds however often the planner would like to look.
    return f"""WITH front AS MATERIALIZED (
            SELECT j.domain_id FROM {which} AND run_at <= now() AND (lease_until IS NULL OR lease_until < now())
            ORDER BY {order} LIMIT $1 FOR UPDATE OF j SKIP LOCKED)
        UPDATE jobs SET lease_token = gen_random_uuid(), lease_until = now() + $2, leased_by = $3,
            attempts = attempts + 1
        FROM front WHERE jobs.domain_id = front.domain_id
        RETURNING jobs.domain_id, kind, attempts, lease_token, asked,
            CASE WHEN traced_at > now() - interval '{TRACED}' THEN trace END AS trace"""  # noqa: S608 -- constants


class Jobs:
    """`lease`: how long a claim stands without renewal."""

    def __init__(self, pool: asyncpg.Pool[Any], replica: str, lease: timedelta = LEASE) -> None:
        self._pool = pool
        self._replica = replica
        self.lease = lease
        self._odd = 0

    async def claim(self, kind: Kind, limit: int, room: int | None = None) -> Sequence[Job]:
        """Take up to `limit` due jobs: the oldest, or of kind obtain those whose turn it is.

        `room`: how many of those may need a new order at the CA (None: all). Urgent renewals come first; then
        renewals, by their expiry, and first certificates, by their turn, have half each.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            if kind != "obtain":
                return await self._take(connection, OLDEST[kind], limit)
            await connection.execute(GIVE_TURNS)
            ordering = limit if room is None else max(0, min(limit, room))
            jobs = await self._take(connection, URGENT, ordering)
            self._odd ^= 1  # of a single place each has every second one
            renewals = (ordering - len(jobs) + self._odd) // 2
            for queue, most in ((RENEWALS, renewals), (FIRST, ordering), (RENEWALS, ordering)):
                jobs += await self._take(connection, queue, min(most, ordering - len(jobs)))
            if ordering < limit:
                for queue in (UNDER_WAY, EXEMPT):
                    jobs += await self._take(connection, queue, limit - len(jobs))
            return jobs

    async def _take(self, connection: asyncpg.Connection[Any], queue: str, limit: int) -> list[Job]:
        if limit <= 0:
            return []
        rows = await connection.fetch(claiming(queue), limit, self.lease, self._replica)
        return [Job(*row) for row in rows]

    async def seconds_until_due(self, kind: Kind) -> float | None:
        """When the next job of the kind can be claimed; None when there is none."""
        value = await self._pool.fetchval(
            """SELECT extract(epoch FROM least(
                   (SELECT run_at FROM jobs WHERE kind = $1 AND lease_until IS NULL ORDER BY run_at LIMIT 1),
                   (SELECT min(greatest(run_at, lease_until)) FROM jobs WHERE kind = $1 AND lease_until IS NOT NULL)
               ) - now())::float8""",
            kind,
        )
        return None if value is None else max(0.0, float(value))

    async def renew(self, job: Job) -> None:
        """Raises LeaseLost."""
        found = await self._pool.fetchval(
            "UPDATE jobs SET lease_until = now() + $3 WHERE domain_id = $1 AND lease_token = $2 RETURNING true",
            job.domain_id,
            job.lease_token,
            self.lease,
        )
        if not found:
            raise LeaseLost(job.domain_id)

    async def settle(self, job: Job, outcome: Outcome) -> None:
        """Give the job back. If it was asked for anew meanwhile, or became another kind, only the lease ends."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await connection.fetchrow(
                "SELECT kind, asked FROM jobs WHERE domain_id = $1 AND lease_token = $2 FOR UPDATE",
                job.domain_id,
                job.lease_token,
            )
            if now is None:
                return
            if (now["kind"], now["asked"]) != (job.kind, job.asked):
                await connection.execute(
                    "UPDATE jobs SET lease_token = NULL, lease_until = NULL, run_at = least(run_at, now()) "
                    "WHERE domain_id = $1",
                    job.domain_id,
                )
            elif isinstance(outcome, Done):
                await connection.execute("DELETE FROM jobs WHERE domain_id = $1", job.domain_id)
            else:
                await connection.execute(
                    """UPDATE jobs SET lease_token = NULL, lease_until = NULL, run_at = now() + $2,
                           attempts = CASE WHEN $3 THEN 0 ELSE attempts END
                       WHERE domain_id = $1""",
                    job.domain_id,
                    outcome.delay,
                    outcome.progress,
                )


async def assert_held(connection: asyncpg.Connection[Any], domain_id: UUID, lease_token: UUID) -> None:
    """Inside a transaction: the lease stands until the transaction ends. Raises LeaseLost."""
    held = await connection.fetchval(
        "SELECT true FROM jobs WHERE domain_id = $1 AND lease_token = $2 FOR UPDATE", domain_id, lease_token
    )
    if not held:
        raise LeaseLost(domain_id)


async def become(connection: asyncpg.Connection[Any], job: Job, kind: Kind) -> None:
    """Inside the transaction of a transition: the domain's next work is of another kind, at once. Keeps the lease.

    A job that became something else meanwhile (the tenant deleted the domain) is left as it is.
    """
    await assert_held(connection, job.domain_id, job.lease_token)
    await tell(connection)
    await connection.execute(
        "UPDATE jobs SET kind = $2, run_at = now(), attempts = 0 WHERE domain_id = $1 AND kind = $3",
        job.domain_id,
        kind,
        job.kind,
    )


def new_replica_name(host: str) -> str:
    return f"{host}-{uuid4().hex[:8]}"
