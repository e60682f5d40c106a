"""The rows of `outbox`, `deliveries` and `notification_endpoints`: who is told what, in which order, and by whom.

An endpoint is worked on by one replica at a time, by a lease; up to a few of its lanes at once. Locks are taken in one
order: endpoint, then its deliveries. Whoever adds to a lane or ends what is first in it holds the endpoint's row, so a
lane is never left without a first. Times are the caller's clock; leases are PostgreSQL's, which replicas share.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from api.representation import timestamp
from control.outbox import sql
from control.outbox.events import audiences, is_mailed
from control.outbox.message import Failed, Message, Receiver
from core.errors import NameplateError

DISPATCH_LOCK = 0x6E616D65746F6C64
BATCH = 500  # events in one transaction
TEST = "notification.test"
DISABLE_AFTER = timedelta(days=5)  # of failures only: longer than any message is tried
LONGEST_HOLD = timedelta(hours=1)  # that one answer can keep all that waits for an endpoint from being sent

Connection: TypeAlias = "asyncpg.Connection[Any]"


class LeaseGone(NameplateError):
    """Another replica works on the endpoint, or it is removed. What was sent is sent again, under the same id."""

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__("lease_gone", f"The lease on endpoint {endpoint_id} is gone.")


@dataclass(frozen=True, slots=True)
class Claim:
    receiver: Receiver
    lease: UUID


@dataclass(frozen=True, slots=True)
class Due:
    """The first of its lane. `attempts`: so far. `retry_from`: since when it is tried.

    `receiver`: as it is now; its secret may have been changed since the claim. `trace`: the traceparent of what it
    tells, if that was not long ago.
    """

    receiver: Receiver
    message: Message
    lane: UUID
    attempts: int
    retry_from: datetime
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    waiting: int
    dead: int
    oldest: datetime | None


class Queue:
    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def dispatch(self, now: datetime) -> int:
        """Make deliveries of what has happened since. Returns how many events there were; 0 too if others are at it.

        One replica at a time: a lane's deliveries are made in the order of its events.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", DISPATCH_LOCK):
                return 0
            rows = await connection.fetch(sql.UNDISPATCHED, BATCH)
            if rows:
                await self._fan_out(connection, rows, now)
                await connection.execute(sql.MARK_DISPATCHED, [row["id"] for row in rows], now)
            return len(rows)

    async def _fan_out(self, connection: Connection, rows: Sequence[asyncpg.Record], now: datetime) -> None:
        wanted = []
        for row in rows:
            payload = json.loads(row["payload"])
            for audience in audiences(row["event"], payload):
                tenant = row["tenant_id"] if audience == "tenant" else None
                if audience == "admin" or tenant is not None:
                    mailed = is_mailed(row["event"], payload, audience)
                    wanted.append((row["id"], tenant, row["domain_id"], row["event"], mailed))
        if not wanted:
            return
        pairs = await connection.fetch(sql.MATCH, *(list(column) for column in zip(*wanted, strict=True)))
        if not pairs:
            return
        await connection.execute(sql.LOCK_ENDPOINTS, list({pair["endpoint_id"] for pair in pairs}), now)
        endpoints, lanes = [pair["endpoint_id"] for pair in pairs], [pair["lane"] for pair in pairs]
        tenants, events = [pair["tenant_id"] for pair in pairs], [pair["outbox_id"] for pair in pairs]
        await connection.execute(sql.ADD_DELIVERIES, endpoints, tenants, events, lanes, now)
        await connection.execute(sql.PROMOTE, endpoints, lanes, now)

    async def claim(self, now: datetime, limit: int, lease: timedelta, *, failing: bool) -> Sequence[Claim]:
        """Take up to `limit` endpoints with something due, those that wait longest first."""
        rows = await self._pool.fetch(sql.CLAIM, now, limit, lease, failing)
        return [
            Claim(
                Receiver(row["id"], row["kind"], row["address"], row["tenant_id"], row["secret_version"]),
                row["lease_token"],
            )
            for row in rows
        ]

    async def due(self, claim: Claim, now: datetime, limit: int, flying: Sequence[UUID]) -> Sequence[Due]:
        """The lanes' firsts that are due, without those under way. Nothing, while the receiver asked for patience."""
        rows = await self._pool.fetch(sql.DUE, claim.receiver.id, now, limit, list(flying), claim.lease)
        return [
            Due(
                replace(claim.receiver, address=row["address"], secret_version=row["secret_version"]),
                Message(
                    row["id"],
                    row["event"],
                    row["tenant_id"],
                    row["domain_id"],
                    json.loads(row["payload"]),
                    row["happened_at"],
                ),
                row["lane"],
                row["attempts"],
                row["retry_from"],
                row["trace"],
            )
            for row in rows
        ]

    async def taken(self, claim: Claim, due: Due, now: datetime) -> None:
        """It was delivered; the next of its lane is due. Raises LeaseGone."""
        async with self._pool.acquire() as connection, connection.transaction():
            await _hold(connection, claim)
            await connection.execute(sql.DELIVERED, due.message.id, now)
            await _next(connection, claim, due, now)
            await connection.execute(sql.WORKS, claim.receiver.id, due.message.event == TEST)

    async def failed(self, claim: Claim, due: Due, failure: Failed, again_in: timedelta | None, now: datetime) -> None:
        """It is tried again after `again_in`, or given up and the next of its lane is due. Raises LeaseGone.

        An endpoint that is gone, or that has failed for DISABLE_AFTER, is disabled: all that waits for it is given up.
        """
        facts = {"at": timestamp(now), "code": failure.code, "message": failure.message, "status": failure.status}
        attempt = json.dumps(facts)
        async with self._pool.acquire() as connection, connection.transaction():
            await _hold(connection, claim)
            since = await connection.fetchval(sql.FAILS, claim.receiver.id, now)
            hopeless = now - since >= DISABLE_AFTER and not failure.ours and claim.receiver.tenant_id is not None
            if failure.hold and failure.retry_after is not None:
                await connection.execute(sql.HOLD, claim.receiver.id, now + min(failure.retry_after, LONGEST_HOLD))
            if again_in is not None and not failure.gone and not hopeless:
                await connection.execute(sql.AGAIN, due.message.id, now + again_in, attempt)
                return
            await connection.execute(sql.GIVE_UP, due.message.id, now, attempt)
            await _next(connection, claim, due, now)
            await _tell_admin(connection, claim, failure, now)
            if failure.gone or hopeless:
                await connection.execute(sql.GIVE_ALL_UP, claim.receiver.id, now, attempt)
                await _disable(connection, claim, "gone" if failure.gone else "failing", now)

    async def renew(self, claim: Claim, lease: timedelta) -> None:
        """Raises LeaseGone."""
        if not await self._pool.fetchval(sql.RENEW, claim.receiver.id, claim.lease, lease):
            raise LeaseGone(claim.receiver.id)

    async def release(self, claim: Claim) -> None:
        """Give the endpoint back, due when its next delivery is."""
        async with self._pool.acquire() as connection, connection.transaction():
            # Two statements: the second sees what was added while the first waited for the row.
            if await connection.fetchval(sql.HOLD_LEASE, claim.receiver.id, claim.lease):
                await connection.execute(sql.RELEASE, claim.receiver.id)

    async def seconds_until_due(self, now: datetime, *, failing: bool) -> float | None:
        """Of the first endpoint that nobody works on; None when nothing waits."""
        value = await self._pool.fetchval(sql.NEXT_DUE, failing)
        return None if value is None else max(0.0, (value - now).total_seconds())

    async def withdrawn(self, limit: int) -> Sequence[UUID]:
        """Endpoints that are to be removed, long enough ago that nobody is just making them."""
        return [row["id"] for row in await self._pool.fetch(sql.WITHDRAWN, limit)]

    async def remove(self, endpoint_id: UUID) -> None:
        await self._pool.execute(sql.REMOVE, endpoint_id)

    async def figures(self) -> Figures:
        row = await self._pool.fetchrow(sql.FIGURES)
        return Figures(row["waiting"], row["dead"], row["oldest"])


async def tell(connection: Connection, event: str, facts: dict[str, Any], tenant_id: UUID | None = None) -> None:
    """An event without a domain, in the caller's transaction. Without a tenant it is for the platform's admin."""
    await connection.execute(sql.TELL, tenant_id, None, event, json.dumps(facts, default=str))


async def _hold(connection: Connection, claim: Claim) -> None:
    if not await connection.fetchval(sql.HOLD_LEASE, claim.receiver.id, claim.lease):
        raise LeaseGone(claim.receiver.id)


async def _next(connection: Connection, claim: Claim, due: Due, now: datetime) -> None:
    await connection.execute(sql.PROMOTE, [claim.receiver.id], [due.lane], now)


async def _disable(connection: Connection, claim: Claim, code: str, now: datetime) -> None:
    disabled = await connection.fetchval(sql.DISABLE, claim.receiver.id, now, code)
    if disabled and claim.receiver.tenant_id is not None:
        facts = {"address": claim.receiver.address, "code": code, "endpoint": str(claim.receiver.id)}
        await tell(connection, "notification.endpoint_disabled", facts, claim.receiver.tenant_id)


async def _tell_admin(connection: Connection, claim: Claim, failure: Failed, now: datetime) -> None:
    """Once a day for an endpoint; never of the admin's own, which would be told to itself for ever."""
    if claim.receiver.tenant_id is None:
        return
    if await connection.fetchval(sql.TOLD_DEAD, claim.receiver.id, now):
        facts = {
            "endpoint": str(claim.receiver.id),
            "tenant": str(claim.receiver.tenant_id),
            "code": failure.code,
            "message": failure.message,
        }
        await tell(connection, "notification.dead_letter", facts)
