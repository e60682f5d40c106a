"""Work on domains, claimed from PostgreSQL by leases, so that any number of replicas share it without a leader.

A domain has at most one row in `jobs`, so no two pieces of work on it ever run together. A claim gives the row a new
lease token; whoever writes on behalf of the job checks in the same transaction that the token still stands, so a
worker that lost its lease (paused, cut off) changes nothing. A killed worker's job is claimed again when its lease
runs out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg

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


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do of this kind."""


@dataclass(frozen=True, slots=True)
class Again:
    """To be claimed again after the delay. `progress`: the next claim counts as a first attempt."""

    delay: timedelta
    progress: bool = False


Outcome = Done | Again


class Jobs:
    """`lease`: how long a claim stands without renewal."""

    def __init__(self, pool: asyncpg.Pool[Any], replica: str, lease: timedelta = LEASE) -> None:
        self._pool = pool
        self._replica = replica
        self.lease = lease

    async def claim(self, kind: Kind, limit: int) -> Sequence[Job]:
        """Take up to `limit` due jobs, oldest first."""
        rows = await self._pool.fetch(
            """UPDATE jobs SET lease_token = gen_random_uuid(), lease_until = now() + $3, leased_by = $4,
                   attempts = attempts + 1
               WHERE domain_id IN (
                   SELECT domain_id FROM jobs
                   WHERE kind = $1 AND run_at <= now() AND (lease_until IS NULL OR lease_until < now())
                   ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED)
               RETURNING domain_id, kind, attempts, lease_token, asked""",
            kind,
            limit,
            self.lease,
            self._replica,
        )
        return [Job(row["domain_id"], row["kind"], row["attempts"], row["lease_token"], row["asked"]) for row in rows]

    async def seconds_until_due(self, kind: Kind) -> float | None:
        """When the next job of the kind can be claimed; None when there is none."""
        value = await self._pool.fetchval(
            """SELECT extract(epoch FROM min(greatest(run_at, coalesce(lease_until, run_at))) - now())::float8
               FROM jobs WHERE kind = $1""",
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
    await connection.execute(
        "UPDATE jobs SET kind = $2, run_at = now(), attempts = 0 WHERE domain_id = $1 AND kind = $3",
        job.domain_id,
        kind,
        job.kind,
    )


def new_replica_name(host: str) -> str:
    return f"{host}-{uuid4().hex[:8]}"
