"""What the tenants' API does to notification endpoints, on PostgreSQL and Vault: `api.endpoints.Endpoints`.

A webhook is made in three steps, so that a crash leaves nothing that is used: a row that is withdrawn from birth, its
secret in Vault, then the row is put in force. What stays withdrawn, control.outbox.deliverer removes with its secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from api.auth import Principal
from api.endpoints import (
    Delivery,
    DeliveryNotFound,
    DeliveryState,
    Endpoint,
    EndpointKind,
    EndpointLimitReached,
    EndpointNotFound,
    EventUnknown,
    MailUnavailable,
    NewSecret,
    NoSecret,
    SecretsUnavailable,
    TestTooSoon,
)
from control.domains.tenancy import Connection, Tenancy
from control.outbox.addresses import parse_mail, parse_url
from control.outbox.events import TENANT_EVENTS
from control.outbox.guard import Network
from control.outbox.signing import SecretMissing, Secrets, new_secret
from control.vault import VaultError

MAX_ENDPOINTS = 10  # of a tenant
TEST_PAUSE = 10.0  # seconds between two tests of one endpoint
MAX_TESTS = (
    30  # of a tenant in an hour, those of endpoints that are gone included: anybody's address can be an endpoint
)

SHOWN = "id, kind, address, events, created_at, disabled_at, disabled_code, failing_since"
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate endpoints ' || $1, 0))"
# One that is just being made counts; one that was withdrawn long ago only waits for its removal.
COUNT = """SELECT count(*) FROM notification_endpoints WHERE tenant_id = $1
    AND (withdrawn_at IS NULL OR secret_version IS NULL AND withdrawn_at > now() - interval '1 minute')"""
ADD = """INSERT INTO notification_endpoints (id, tenant_id, kind, address, events, withdrawn_at)
    VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN now() END)"""
PUT_IN_FORCE = """UPDATE notification_endpoints SET secret_version = $3, withdrawn_at = NULL
    WHERE id = $1 AND tenant_id = $2 AND secret_version IS NULL AND withdrawn_at > now() - interval '50 seconds'
    RETURNING true"""
ALL = f"""SELECT {SHOWN} FROM notification_endpoints WHERE tenant_id = $1 AND withdrawn_at IS NULL
    ORDER BY created_at, id"""  # noqa: S608 -- constants
FIND = f"""SELECT {SHOWN}, secret_version FROM notification_endpoints
    WHERE id = $1 AND tenant_id = $2 AND withdrawn_at IS NULL"""  # noqa: S608 -- constants
WITHDRAW = """UPDATE notification_endpoints SET withdrawn_at = now(), due_at = NULL
    WHERE id = $1 AND tenant_id = $2 AND withdrawn_at IS NULL RETURNING true"""
ROTATED = """UPDATE notification_endpoints SET secret_version = $3
    WHERE id = $1 AND tenant_id = $2 AND secret_version = $4 AND withdrawn_at IS NULL RETURNING true"""
SECONDS_SINCE_TEST = """SELECT extract(epoch FROM clock_timestamp() - max(d.created_at))::float8
    FROM deliveries d JOIN outbox o ON o.id = d.outbox_id WHERE d.endpoint_id = $1 AND o.event = 'notification.test'
        AND d.created_at > now() - interval '1 hour'"""
TESTS = """SELECT count(*) AS tests, extract(epoch FROM min(created_at) + interval '1 hour' - clock_timestamp())::float8
    AS seconds FROM outbox
    WHERE tenant_id = $1 AND event = 'notification.test' AND created_at > now() - interval '1 hour'"""
DELIVERIES = """SELECT d.id, o.event, o.domain_id, d.state, d.attempts, o.created_at, d.settled_at, d.due_at,
        d.last_attempt
    FROM deliveries d JOIN outbox o ON o.id = d.outbox_id
    WHERE d.endpoint_id = $1 AND d.tenant_id = $2 AND ($3::text IS NULL OR d.state = $3)
        AND ($5::uuid IS NULL OR d.id = $5)
    ORDER BY d.outbox_id DESC LIMIT $4"""


class TenantEndpoints:
    """`mails`: whether this installation sends any. `allowed`, `insecure`: of control.outbox.addresses."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        secrets: Secrets,
        *,
        mails: bool,
        allowed: Sequence[Network] = (),
        insecure: bool = False,
    ) -> None:
        self._tenancy = Tenancy(pool)
        self._secrets = secrets
        self._mails = mails
        self._allowed = allowed
        self._insecure = insecure

    async def add(
        self, caller: Principal, kind: EndpointKind, address: str, events: Sequence[str] | None
    ) -> tuple[Endpoint, NewSecret | None]:
        if events is not None and not set(events) <= set(TENANT_EVENTS):
            raise EventUnknown
        normal = self._normal(kind, address)
        endpoint_id = uuid4()
        chosen = None if events is None else sorted(set(events))
        is_webhook = kind == "webhook"

        async def insert(connection: Connection) -> None:
            await connection.execute(LOCK_TENANT, str(caller.tenant_id))
            if await connection.fetchval(COUNT, caller.tenant_id) >= MAX_ENDPOINTS:
                raise EndpointLimitReached(MAX_ENDPOINTS)
            await connection.execute(ADD, endpoint_id, caller.tenant_id, kind, normal, chosen, is_webhook)

        await self._tenancy.transact(caller, insert)
        secret = None
        if is_webhook:
            secret = NewSecret(new_secret())
            await self._put_in_force(caller, endpoint_id, secret.secret)
        return await self.find(caller, endpoint_id), secret

    async def _put_in_force(self, caller: Principal, endpoint_id: UUID, secret: str) -> None:
        try:
            version = await self._secrets.create(endpoint_id, secret)
        except VaultError as error:
            raise SecretsUnavailable from error

        async def put(connection: Connection) -> None:
            if not await connection.fetchval(PUT_IN_FORCE, endpoint_id, caller.tenant_id, version):
                raise SecretsUnavailable  # it took so long that it is being removed

        await self._tenancy.transact(caller, put)

    def _normal(self, kind: EndpointKind, address: str) -> str:
        if kind == "webhook":
            return str(parse_url(address, insecure=self._insecure, allowed=self._allowed))
        if not self._mails:
            raise MailUnavailable
        return parse_mail(address)

    async def all(self, caller: Principal) -> Sequence[Endpoint]:
        async def work(connection: Connection) -> Sequence[Endpoint]:
            return [_endpoint(row) for row in await connection.fetch(ALL, caller.tenant_id)]

        return await self._tenancy.transact(caller, work)

    async def find(self, caller: Principal, endpoint_id: UUID) -> Endpoint:
        async def work(connection: Connection) -> Endpoint:
            return _endpoint(await _row(connection, caller, endpoint_id))

        return await self._tenancy.transact(caller, work)

    async def delete(self, caller: Principal, endpoint_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            if not await connection.fetchval(WITHDRAW, endpoint_id, caller.tenant_id):
                raise EndpointNotFound

        await self._tenancy.transact(caller, work)

    async def rotate(self, caller: Principal, endpoint_id: UUID) -> NewSecret:
        async def look(connection: Connection) -> asyncpg.Record:
            return await _row(connection, caller, endpoint_id)

        row = await self._tenancy.transact(caller, look)
        if row["kind"] != "webhook":
            raise NoSecret
        secret = new_secret()
        try:
            version, until = await self._secrets.rotate(endpoint_id, row["secret_version"], secret)
        except (VaultError, SecretMissing) as error:
            raise SecretsUnavailable from error

        async def put(connection: Connection) -> None:
            values = (endpoint_id, caller.tenant_id, version, row["secret_version"])
            if not await connection.fetchval(ROTATED, *values):
                raise SecretsUnavailable  # another rotation was faster, or it was deleted

        await self._tenancy.transact(caller, put)
        return NewSecret(secret, until)

    async def test(self, caller: Principal, endpoint_id: UUID) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            await connection.execute(LOCK_TENANT, str(caller.tenant_id))
            await _row(connection, caller, endpoint_id)
            seconds = await connection.fetchval(SECONDS_SINCE_TEST, endpoint_id)
            if seconds is not None and seconds < TEST_PAUSE:
                raise TestTooSoon(math.ceil(TEST_PAUSE - max(seconds, 0.0)))
            hour = await connection.fetchrow(TESTS, caller.tenant_id)
            if hour["tests"] >= MAX_TESTS:
                raise TestTooSoon(math.ceil(max(hour["seconds"], 1.0)))
            delivery_id = await connection.fetchval("SELECT test_endpoint_v1($1)", endpoint_id)
            return await _delivery(connection, caller, endpoint_id, delivery_id)

        return await self._tenancy.transact(caller, work)

    async def deliveries(
        self, caller: Principal, endpoint_id: UUID, state: DeliveryState | None, limit: int
    ) -> Sequence[Delivery]:
        async def work(connection: Connection) -> Sequence[Delivery]:
            await _row(connection, caller, endpoint_id)
            rows = await connection.fetch(DELIVERIES, endpoint_id, caller.tenant_id, state, limit, None)
            return [_read(row) for row in rows]

        return await self._tenancy.transact(caller, work)

    async def retry(self, caller: Principal, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
        async def work(connection: Connection) -> Delivery:
            await _row(connection, caller, endpoint_id)
            await _delivery(connection, caller, endpoint_id, delivery_id)
            if not await connection.fetchval("SELECT retry_delivery_v1($1)", delivery_id):
                raise DeliveryNotFound
            return await _delivery(connection, caller, endpoint_id, delivery_id)

        return await self._tenancy.transact(caller, work)


async def _row(connection: Connection, caller: Principal, endpoint_id: UUID) -> asyncpg.Record:
    """Raises EndpointNotFound, also for another tenant's."""
    row = await connection.fetchrow(FIND, endpoint_id, caller.tenant_id)
    if row is None:
        raise EndpointNotFound
    return row


async def _delivery(connection: Connection, caller: Principal, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
    """Raises DeliveryNotFound."""
    row = await connection.fetchrow(DELIVERIES, endpoint_id, caller.tenant_id, None, 1, delivery_id)
    if row is None:
        raise DeliveryNotFound
    return _read(row)


def _endpoint(row: asyncpg.Record) -> Endpoint:
    return Endpoint(
        id=row["id"],
        kind=row["kind"],
        address=row["address"],
        events=None if row["events"] is None else tuple(row["events"]),
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        disabled_code=row["disabled_code"],
        failing_since=row["failing_since"],
    )


def _read(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=row["id"],
        event=row["event"],
        domain_id=row["domain_id"],
        state=row["state"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        due_at=row["due_at"],
        last_attempt=None if row["last_attempt"] is None else json.loads(row["last_attempt"]),
    )
