"""Notifications of all tenants by state, and sending once more what was given up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from api.auth import Operator
from api.endpoints import DeliveryNotFound, DeliveryState
from api.overview.deliveries import DeliveryRow
from api.overview.places import Place
from control.domains.tenancy import Connection
from control.services.transactions import Transactions, audit

SHOWN = """d.id, d.endpoint_id, d.tenant_id, e.kind, e.address, e.disabled_at IS NULL AS enabled, o.event, o.domain_id,
    o.payload ->> 'hostname' AS hostname, d.state, d.attempts, o.created_at, d.settled_at, d.due_at, d.last_attempt"""
JOINED = "deliveries d JOIN notification_endpoints e ON e.id = d.endpoint_id JOIN outbox o ON o.id = d.outbox_id"


def _listed(condition: str, moment: str, order: str, beyond: str) -> str:
    return f"""SELECT {SHOWN}, ARRAY[d.{moment}::text, d.id::text] AS keys FROM {JOINED}
        WHERE {condition} AND (d.{moment}, d.id) {beyond} ($1::timestamptz, $2::uuid)
        ORDER BY d.{moment} {order}, d.id {order} LIMIT $3"""  # noqa: S608 -- constants


# idx_deliveries_dead, idx_deliveries_oldest, idx_deliveries_settled
LISTS: Mapping[DeliveryState, str] = {
    "dead": _listed("d.state = 'dead'", "settled_at", "DESC", "<"),
    "pending": _listed("d.state = 'pending'", "created_at", "ASC", ">"),
    "delivered": _listed("d.state = 'delivered' AND d.settled_at IS NOT NULL", "settled_at", "DESC", "<"),
}
FIRST = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
LAST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
# In the order of locks of control.outbox.queue: the endpoint, then its delivery. In a lane of its own.
LOCK = """SELECT e.id FROM deliveries d JOIN notification_endpoints e ON e.id = d.endpoint_id
    WHERE d.id = $1 AND d.state = 'dead' AND e.withdrawn_at IS NULL FOR UPDATE OF e"""
RETRY = """UPDATE deliveries SET state = 'pending', settled_at = NULL, attempts = 0, lane = id, due_at = now(),
    retry_from = now() WHERE id = $1 AND state = 'dead' RETURNING true"""
DUE = "UPDATE notification_endpoints SET due_at = least(due_at, now()) WHERE id = $1"
WAKE = "SELECT pg_notify('nameplate_outbox', '')"
ONE = f"SELECT {SHOWN}, '{{}}'::text[] AS keys FROM {JOINED} WHERE d.id = $1"  # noqa: S608 -- constants


class Deliveries:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def page(
        self, caller: Operator, state: DeliveryState, after: Place | None, limit: int
    ) -> Sequence[DeliveryRow]:
        place = _place(after, FIRST if state == "pending" else LAST)

        async def work(connection: Connection) -> Sequence[DeliveryRow]:
            return [_row(row) for row in await connection.fetch(LISTS[state], *place, limit)]

        return await self._transactions.read(caller, work)

    async def retry(self, caller: Operator, delivery_id: UUID) -> DeliveryRow:
        async def work(connection: Connection) -> DeliveryRow:
            endpoint_id = await connection.fetchval(LOCK, delivery_id)
            if endpoint_id is None or not await connection.fetchval(RETRY, delivery_id):
                raise DeliveryNotFound
            await connection.execute(DUE, endpoint_id)
            await connection.execute(WAKE)
            row = await connection.fetchrow(ONE, delivery_id)
            assert row is not None  # noqa: S101 -- it is locked
            shown = _row(row)
            facts = {"delivery": delivery_id, "endpoint": endpoint_id, "tenant": shown.tenant_id, "event": shown.event}
            await audit(connection, caller, "delivery_retry", facts, hostname=shown.hostname or "")
            return shown

        return await self._transactions.read(caller, work)


def _place(after: Place | None, otherwise: tuple[datetime, UUID]) -> tuple[datetime, UUID]:
    if after is None:
        return otherwise
    try:
        moment, delivery_id = after.keys
        return datetime.fromisoformat(moment), UUID(delivery_id)
    except ValueError:  # a place of another list
        return otherwise


def _row(row: asyncpg.Record) -> DeliveryRow:
    return DeliveryRow(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        tenant_id=row["tenant_id"],
        kind=row["kind"],
        address=shown_address(row["kind"], row["address"]),
        enabled=row["enabled"],
        event=row["event"],
        domain_id=row["domain_id"],
        hostname=row["hostname"],
        state=row["state"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        due_at=row["due_at"],
        last_attempt=None if row["last_attempt"] is None else json.loads(row["last_attempt"]),
        place=Place(tuple(row["keys"])),
    )


def shown_address(kind: str, address: str) -> str:
    """A webhook's path, query and credentials may be what lets somebody write there."""
    if kind != "webhook":
        return address
    try:
        parts = urlsplit(address)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "…"
    return f"{parts.scheme}://{parts.hostname or ''}{port}/…"
