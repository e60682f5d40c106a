"""Warnings before what the operator has uploaded expires: identities, and authorities that upstreams are trusted by.

Each certificate is told of once at each of THRESHOLDS that suits its life: one for a day is not warned of a month
ahead. All replicas look; the row that keeps a warning decides who tells it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg
from prometheus_client import CollectorRegistry, Gauge

THRESHOLDS = (30, 14, 7, 3, 1, 0)  # days before the end
EVENTS = {"identity": "platform.identity_expiring", "trust": "platform.trust_expiring"}

ALL = """(SELECT 'identity' AS kind, name, serial, fingerprint, not_before, not_after
        FROM identities WHERE withdrawn_at IS NULL
    UNION ALL SELECT 'trust', t.name, a.* FROM trust t CROSS JOIN jsonb_to_recordset(t.authorities)
        AS a (serial text, fingerprint text, not_before timestamptz, not_after timestamptz)) AS found"""
NEAR = f"SELECT * FROM {ALL} WHERE not_after <= $1"  # noqa: S608 -- a constant
ENDS = f"SELECT kind, name, min(not_after) AS not_after FROM {ALL} GROUP BY kind, name"  # noqa: S608
SERVICES = "SELECT count(*) FROM services"
TELL = """WITH told AS (
        INSERT INTO expiry_warnings (kind, name, fingerprint, days) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING true)
    INSERT INTO outbox (event, payload) SELECT $5, $6::jsonb FROM told RETURNING true"""
FORGET_OTHERS = "DELETE FROM expiry_warnings WHERE kind = $1 AND name = $2 AND fingerprint <> ALL($3::text[])"


@dataclass(frozen=True, slots=True)
class Expiring:
    """Something with an end. `serial`, `fingerprint`: of the certificate."""

    kind: Literal["identity", "trust"]
    name: str
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


class ExpiryMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.services = Gauge("nameplate_services", "Upstream services.", registry=registry)
        self.not_after = Gauge(
            "nameplate_upstream_certificate_not_after_timestamp_seconds",
            "When the first certificate of an identity or of a bundle ends, in Unix seconds.",
            ["kind", "name"],
            registry=registry,
        )


class ExpiryWatch:
    """`pool`: as the workers' role."""

    def __init__(self, pool: asyncpg.Pool[Any], metrics: ExpiryMetrics, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._metrics = metrics
        self._now = now

    async def look(self) -> int:
        """Tell what is due. Returns how many warnings were told. Raises asyncpg's errors."""
        self._metrics.services.set(await self._pool.fetchval(SERVICES))
        self._metrics.not_after.clear()
        for kind, name, end in await self._pool.fetch(ENDS):
            self._metrics.not_after.labels(kind, name).set(end.timestamp())
        now = self._now()
        told = 0
        for row in await self._pool.fetch(NEAR, now + timedelta(days=max(THRESHOLDS))):
            one = Expiring(**dict(row))
            days = threshold(one.not_before, one.not_after, now)
            if days is not None:
                told += await self._tell(one, days)
        return told

    async def _tell(self, one: Expiring, days: int) -> bool:
        payload = {
            "name": one.name,
            "serial": one.serial,
            "fingerprint": one.fingerprint,
            "not_after": one.not_after.isoformat(timespec="seconds"),
            "days": days,
        }
        values = (one.kind, one.name, one.fingerprint, days, EVENTS[one.kind], json.dumps(payload))
        return bool(await self._pool.fetchval(TELL, *values))


def threshold(not_before: datetime, not_after: datetime, now: datetime) -> int | None:
    """The smallest of THRESHOLDS that is reached and lies in the last third of the life; None: it is too early."""
    life, left = not_after - not_before, not_after - now
    reached = [days for days in THRESHOLDS if left <= timedelta(days=days) and timedelta(days=3 * days) <= life]
    return min(reached, default=None)
