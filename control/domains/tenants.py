"""What the tenants' API does to domains, on PostgreSQL as the role nameplate_api: `api.service.Domains`.

Each operation is one transaction that first says which tenant it is for; row level security then hides all others',
so a missing WHERE could not leak. The API may not touch `jobs`; it asks for work by `request_job_v1`.

Locks are taken in one order, so that nobody waits in a circle: idempotency key, tenant, job, domain. Workers take
the job before the domain too (control.domains.transition).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import structlog

from api.auth import Principal
from api.service import (
    PROVEN_STATUSES,
    Added,
    DomainExists,
    DomainLimitReached,
    DomainNotFound,
    HostnameTaken,
    Idempotency,
    KeyReused,
    Position,
    Reply,
    Unavailable,
    Verification,
    VerificationTooSoon,
)
from control.domains.transition import DomainGone, apply, load, load_live, record
from core.domain import COLUMNS, TABLES, Domain

ACQUIRE_TIMEOUT = 3.0  # seconds for a free or a new connection
DEADLINE = 6.0  # seconds for a transaction
LOCK_TIMEOUT = "3s"
STATEMENT_TIMEOUT = "5s"
ATTEMPTS = 3  # of a transaction that PostgreSQL rolls back as a deadlock's victim
RETRY_PAUSE = 0.05  # seconds, with jitter: whoever won must have the locks before we come again
TOKEN_BYTES = 16  # 128 bits: not to be guessed
VERIFY_PAUSE = 5.0  # seconds between two looks that one domain's tenant may ask for

BEGIN = """SELECT set_config('app.current_tenant', $1, true), set_config('lock_timeout', $2, true),
    set_config('statement_timeout', $3, true)"""
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate tenant ' || $1, 0))"
ADD_TENANT = "INSERT INTO tenants (id, slug) VALUES ($1, 'tenant-' || $1::uuid::text) ON CONFLICT (id) DO NOTHING"
USAGE = """SELECT
    (SELECT id FROM custom_domains WHERE tenant_id = $1 AND hostname = $2 AND deleted_at IS NULL) AS existing,
    (SELECT count(*) FROM custom_domains WHERE tenant_id = $1 AND deleted_at IS NULL) AS used,
    (SELECT max_domains FROM tenants WHERE id = $1) AS allowed"""
ADD_DOMAIN = """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
    VALUES ($1, $2, $3, now() + $4) ON CONFLICT (hostname) WHERE deleted_at IS NULL DO NOTHING RETURNING id"""
CLAIM_KEY = """INSERT INTO idempotency_keys (tenant_id, key, request_hash) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING true"""
READ_KEY = "SELECT request_hash, response FROM idempotency_keys WHERE tenant_id = $1 AND key = $2"
STORE_REPLY = "UPDATE idempotency_keys SET response = $3 WHERE tenant_id = $1 AND key = $2"
PAGE = f"""SELECT {COLUMNS} FROM {TABLES}
    WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND (d.created_at, d.id) > ($2, $3)
        AND ($4::text IS NULL OR d.status = $4)
    ORDER BY d.created_at, d.id LIMIT $5"""  # noqa: S608 -- constants
REQUEST_JOB = "SELECT request_job_v1($1, $2)"
SECONDS_SINCE_REQUEST = """SELECT extract(epoch FROM clock_timestamp() - max(at))::float8 FROM audit
    WHERE domain_id = $1 AND action IN ('verify_request', 'retry')"""
AUDIT_REQUEST = """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action)
    VALUES ($1, $2, $3, $4, 'verify_request')"""
NEW_WINDOW = "UPDATE custom_domains SET verify_deadline = now() + $2 WHERE id = $1"
DELETE = "UPDATE custom_domains SET deleted_at = now(), updated_at = now() WHERE id = $1"

START = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))

# PostgreSQL is away, is going, is coming, or is too busy to answer: not the request's fault, and worth a retry.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
)

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[Any]"

log = structlog.get_logger(__name__)


class TenantDomains:
    """`verify_ttl`: how long a tenant has to prove a domain. `max_domains`: where the tenant's plan says nothing."""

    def __init__(self, pool: asyncpg.Pool[Any], verify_ttl: timedelta, max_domains: int) -> None:
        self._pool = pool
        self._verify_ttl = verify_ttl
        self._max_domains = max_domains

    async def add(
        self, caller: Principal, hostname: str, idempotency: Idempotency | None, reply: Callable[[Domain], Reply]
    ) -> Added:
        async def work(connection: Connection) -> Added:
            if idempotency is not None:
                earlier = await _claim(connection, caller, idempotency)
                if earlier is not None:
                    return Added(earlier, replayed=True)
            domain = await self._insert(connection, caller, hostname)
            answer = reply(domain)
            if idempotency is not None:
                text = json.dumps({"body": answer.body, "location": answer.location})
                await connection.execute(STORE_REPLY, caller.tenant_id, idempotency.key, text)
            return Added(answer, replayed=False)

        return await self._transact(caller, work)

    async def page(self, caller: Principal, after: Position | None, status: str | None, limit: int) -> Sequence[Domain]:
        position = after or START

        async def work(connection: Connection) -> Sequence[Domain]:
            rows = await connection.fetch(
                PAGE, caller.tenant_id, position.created_at, position.domain_id, status, limit
            )
            return [Domain.from_row(row) for row in rows]

        return await self._transact(caller, work)

    async def find(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            return await _find(connection, caller, domain_id)

        return await self._transact(caller, work)

    async def verify(self, caller: Principal, domain_id: UUID) -> Verification:
        async def work(connection: Connection) -> Verification:
            domain = await _find(connection, caller, domain_id)
            if domain.status in PROVEN_STATUSES:
                return Verification(domain, requested=False)
            await _check_pace(connection, domain_id)
            await connection.execute(REQUEST_JOB, domain_id, "verify")
            domain = await _lock(connection, caller, domain_id)
            if domain.status in PROVEN_STATUSES:
                raise _ProvenMeanwhile(domain)
            await _check_pace(connection, domain_id)
            if domain.status == "failed":
                await apply(connection, domain_id, "retry", _actor(caller))
                await connection.execute(NEW_WINDOW, domain_id, self._verify_ttl)
            else:
                await connection.execute(AUDIT_REQUEST, caller.tenant_id, domain_id, domain.hostname, _actor(caller))
            return Verification(await _find(connection, caller, domain_id), requested=True)

        try:
            return await self._transact(caller, work)
        except _ProvenMeanwhile as proven:
            return Verification(proven.domain, requested=False)

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            await _find(connection, caller, domain_id)
            await connection.execute(REQUEST_JOB, domain_id, "revoke")
            domain = await _lock(connection, caller, domain_id)
            await connection.execute(DELETE, domain_id)
            await record(connection, domain, "delete", _actor(caller), {"status": domain.status})

        await self._transact(caller, work)

    async def ping(self) -> None:
        try:
            async with self._connection() as connection:
                await connection.execute("SELECT 1")
        except OUTAGES as error:
            raise Unavailable from error

    async def _insert(self, connection: Connection, caller: Principal, hostname: str) -> Domain:
        await connection.execute(LOCK_TENANT, str(caller.tenant_id))
        await connection.execute(ADD_TENANT, caller.tenant_id)
        usage = await connection.fetchrow(USAGE, caller.tenant_id, hostname)
        if usage["existing"] is not None:
            raise DomainExists(usage["existing"])
        allowed = self._max_domains if usage["allowed"] is None else usage["allowed"]
        if usage["used"] >= allowed:
            raise DomainLimitReached(allowed)
        token = secrets.token_hex(TOKEN_BYTES)
        domain_id = await connection.fetchval(ADD_DOMAIN, caller.tenant_id, hostname, token, self._verify_ttl)
        if domain_id is None:
            raise HostnameTaken
        domain = await _find(connection, caller, domain_id)
        await record(connection, domain, "add", _actor(caller), {})
        await connection.execute(REQUEST_JOB, domain_id, "verify")
        return domain

    async def _transact(self, caller: Principal, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` as the caller's tenant; an exception rolls everything back. Raises Unavailable."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(caller, work)
            except asyncpg.TransactionRollbackError as error:
                log.warning("transaction_rolled_back", error=type(error).__name__, attempt=attempt)
                if attempt == ATTEMPTS:
                    raise Unavailable from error
                await asyncio.sleep(RETRY_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
            except OUTAGES as error:
                log.warning("database_unavailable", error=type(error).__name__)
                raise Unavailable from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(self, caller: Principal, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._connection() as connection, connection.transaction():
            await connection.execute(BEGIN, str(caller.tenant_id), LOCK_TIMEOUT, STATEMENT_TIMEOUT)
            return await work(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection that is cut after DEADLINE seconds.

        Not asyncio.timeout: a cancelled query waits for the server's consent, and a silent server gives none.
        """
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            watchdog = asyncio.get_running_loop().call_later(DEADLINE, connection.terminate)
            try:
                yield connection
            finally:
                watchdog.cancel()


class _ProvenMeanwhile(Exception):
    """Rolls back the request for a look."""

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain


async def _claim(connection: Connection, caller: Principal, idempotency: Idempotency) -> Reply | None:
    """None: the key is ours, until this transaction ends. Waits for a transaction that has it. Raises KeyReused."""
    if await connection.fetchval(CLAIM_KEY, caller.tenant_id, idempotency.key, idempotency.fingerprint):
        return None
    row = await connection.fetchrow(READ_KEY, caller.tenant_id, idempotency.key)
    if row is None:  # its time was up, between the two statements
        raise Unavailable
    if row["request_hash"] != idempotency.fingerprint:
        raise KeyReused
    stored = json.loads(row["response"])
    return Reply(stored["body"], stored["location"])


async def _find(connection: Connection, caller: Principal, domain_id: UUID) -> Domain:
    """Raises DomainNotFound, also for a deleted domain and another tenant's.

    Row level security hides those already, unless an operator gave the API a role that is above it.
    """
    domain = await load(connection, domain_id)
    if domain is None or domain.deleted_at is not None or domain.tenant_id != caller.tenant_id:
        raise DomainNotFound
    return domain


async def _lock(connection: Connection, caller: Principal, domain_id: UUID) -> Domain:
    """Raises DomainNotFound."""
    try:
        domain = await load_live(connection, domain_id)
    except DomainGone:
        raise DomainNotFound from None
    if domain.tenant_id != caller.tenant_id:
        raise DomainNotFound
    return domain


async def _check_pace(connection: Connection, domain_id: UUID) -> None:
    """Raises VerificationTooSoon."""
    seconds = await connection.fetchval(SECONDS_SINCE_REQUEST, domain_id)
    if seconds is not None and seconds < VERIFY_PAUSE:
        raise VerificationTooSoon(math.ceil(VERIFY_PAUSE - max(seconds, 0.0)))


def _actor(caller: Principal) -> str:
    return f"tenant:{caller.subject}"
