"""Work in figures: jobs that wait or run, notifications that wait, endpoints that fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import asyncpg
from prometheus_client.core import Metric

from control.jobs import Kind
from core.families import gauge

JOBS = """
SELECT kind,
    count(*) FILTER (WHERE lease_until >= now()) AS running,
    count(*) FILTER (WHERE (lease_until IS NULL OR lease_until < now()) AND run_at <= now()) AS due,
    count(*) FILTER (WHERE (lease_until IS NULL OR lease_until < now()) AND run_at > now()) AS scheduled,
    coalesce(extract(epoch FROM now() - min(run_at)
        FILTER (WHERE (lease_until IS NULL OR lease_until < now()) AND run_at <= now())), 0)::float8 AS oldest
FROM jobs GROUP BY kind
"""

ENDPOINTS = """
SELECT CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN failing_since IS NOT NULL THEN 'failing'
    ELSE 'working' END AS state, count(*) AS endpoints
FROM notification_endpoints WHERE withdrawn_at IS NULL GROUP BY 1
"""
OUTBOX = "SELECT count(*) FROM outbox WHERE dispatched_at IS NULL"

KINDS: tuple[str, ...] = get_args(Kind)
STATES = ("working", "failing", "disabled")


async def read_jobs(pool: asyncpg.Pool[Any]) -> Sequence[Metric]:
    """As the workers' role. Raises asyncpg's errors."""
    return list(job_families(await pool.fetch(JOBS)))


def job_families(rows: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Of the rows of JOBS."""
    by_kind = {row["kind"]: row for row in rows}

    def each(column: str) -> dict[str, float]:
        return {kind: by_kind[kind][column] if kind in by_kind else 0 for kind in KINDS}

    yield gauge("jobs_running", "Jobs that a worker holds, of all replicas.", each("running"), "kind")
    yield gauge("jobs_due", "Jobs whose time has come, and that wait for a worker.", each("due"), "kind")
    yield gauge("jobs_scheduled", "Jobs whose time has not come yet.", each("scheduled"), "kind")
    oldest = "How long the job that is due the longest has waited for a worker."
    yield gauge("job_oldest_due_seconds", oldest, each("oldest"), "kind")


async def read_notifications(pool: asyncpg.Pool[Any]) -> Sequence[Metric]:
    """As the workers' role. Raises asyncpg's errors."""
    states = dict.fromkeys(STATES, 0) | dict(await pool.fetch(ENDPOINTS))
    return (
        gauge("notification_endpoints", "Where notifications are sent to, by how that goes.", states, "state"),
        gauge("outbox_waiting", "Events that no delivery was made of yet.", await pool.fetchval(OUTBOX)),
    )
