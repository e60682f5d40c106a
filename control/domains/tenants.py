"""What the tenants' API does to domains, on PostgreSQL as the role nameplate_api: `api.service.Domains`.

Each operation is one transaction that first says which tenant it is for; row level security then hides all others',
so a missing WHERE could not leak. The API may not touch `jobs`; it asks for work by `request_job_v1` and
`request_certificate_v1`.

Locks are taken in one order, so that nobody waits in a circle: idempotency key, tenant, job, domain. Workers take
the job before the domain too (control.domains.transition).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from api.auth import Principal
from api.service import (
    Added,
    DomainNotFound,
    DomainsError,
    Entry,
    Generation,
    HostnameTaken,
    Idempotency,
    KeyReused,
    Position,
    Quota,
    Reply,
    Requested,
    Unavailable,
)
from control.db.trace import say_no_more
from control.domains import pauses, requests
from control.domains.claims import COOL_DOWN
from control.domains.imports import HOSTNAME_STATE, Terms, quota, register
from control.domains.tenancy import Connection, Tenancy, actor
from control.domains.transition import record
from control.limits.forecast import Forecast
from core.domain import COLUMNS, TABLES, Domain

CLAIM_KEY = """INSERT INTO idempotency_keys (tenant_id, key, request_hash) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING true"""
READ_KEY = "SELECT request_hash, response FROM idempotency_keys WHERE tenant_id = $1 AND key = $2"
STORE_REPLY = "UPDATE idempotency_keys SET response = $3 WHERE tenant_id = $1 AND key = $2"
PAGE = f"""SELECT {COLUMNS} FROM {TABLES}
    WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND (d.created_at, d.id) > ($2, $3)
        AND ($4::text IS NULL OR d.status = $4)
    ORDER BY d.created_at, d.id LIMIT $5"""  # noqa: S608 -- constants
WAS_OWN = "SELECT true FROM custom_domains WHERE id = $1 AND tenant_id = $2"
GENERATION = "SELECT domain_generation_v1(id), hostname FROM custom_domains WHERE id = $1 AND tenant_id = $2"
AUDIT_PAGE = """SELECT id, at, hostname, actor, action, detail FROM audit
    WHERE domain_id = $1 AND tenant_id = $2 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"""
DELETE = "UPDATE custom_domains SET deleted_at = now(), updated_at = now() WHERE id = $1"

# Of these a certificate is ordered, when it is their turn.
ORDERED_STATUSES = frozenset({"verified", "active"})

# Domains of one request that are in one trace; a trace of thousands shows nobody anything.
TRACED = 10

START = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


class TenantDomains:
    """`verify_ttl`: how long a tenant has to prove a domain. `max_domains`: where the tenant's plan says nothing.

    `cool_down`: how long a name that was proven is kept from other tenants once it is given up. `forecast`: when a
    domain that waits behind others has its turn.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        verify_ttl: timedelta,
        max_domains: int,
        cool_down: timedelta = COOL_DOWN,
        forecast: Forecast | None = None,
    ) -> None:
        self._tenancy = Tenancy(pool)
        self._terms = Terms(verify_ttl, max_domains, cool_down)
        self._forecast = forecast

    async def add(
        self, caller: Principal, hostname: str, idempotency: Idempotency | None, reply: Callable[[Domain], Reply]
    ) -> Added:
        def only(answers: Sequence[Domain | DomainsError]) -> Reply:
            (answer,) = answers
            if isinstance(answer, DomainsError):
                raise answer
            return reply(answer)

        async def look(connection: Connection) -> None:
            await connection.fetchrow(HOSTNAME_STATE, hostname, self._terms.cool_down)

        try:
            return await self.add_many(caller, [hostname], idempotency, only)
        except HostnameTaken:
            # The refusal has rolled its wish for a look at the holder back.
            await self._tenancy.transact(caller, look)
            raise

    async def add_many(
        self,
        caller: Principal,
        hostnames: Sequence[str],
        idempotency: Idempotency | None,
        reply: Callable[[Sequence[Domain | DomainsError]], Reply],
    ) -> Added:
        async def work(connection: Connection) -> Added:
            if idempotency is not None:
                earlier = await _claim(connection, caller, idempotency)
                if earlier is not None:
                    return Added(earlier, replayed=True)
            if len(hostnames) > TRACED:
                await say_no_more(connection)
            answer = reply(await register(connection, caller, hostnames, self._terms))
            if idempotency is not None:
                text = json.dumps({"body": answer.body, "location": answer.location})
                await connection.execute(STORE_REPLY, caller.tenant_id, idempotency.key, text)
            return Added(answer, replayed=False)

        return await self._tenancy.transact(caller, work)

    async def page(self, caller: Principal, after: Position | None, status: str | None, limit: int) -> Sequence[Domain]:
        position = after or START

        async def work(connection: Connection) -> Sequence[Domain]:
            rows = await connection.fetch(
                PAGE, caller.tenant_id, position.created_at, position.domain_id, status, limit
            )
            return [Domain.from_row(row) for row in rows]

        return await self._tenancy.transact(caller, work)

    async def find(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            domain = await requests.find(connection, caller, domain_id)
            if self._forecast is None or domain.status not in ORDERED_STATUSES or domain.paused_from is not None:
                return domain
            turn = await self._forecast.of(connection, domain_id)
            return domain if turn is None else replace(domain, next_attempt=turn)

        return await self._tenancy.transact(caller, work)

    async def history(self, caller: Principal, domain_id: UUID, before: int | None, limit: int) -> Sequence[Entry]:
        async def work(connection: Connection) -> Sequence[Entry]:
            if not await connection.fetchval(WAS_OWN, domain_id, caller.tenant_id):
                raise DomainNotFound
            rows = await connection.fetch(AUDIT_PAGE, domain_id, caller.tenant_id, before, limit)
            return [
                Entry(row["id"], row["at"], row["hostname"], row["actor"], row["action"], json.loads(row["detail"]))
                for row in rows
            ]

        return await self._tenancy.transact(caller, work)

    async def generation(self, caller: Principal, domain_id: UUID) -> Generation:
        async def work(connection: Connection) -> Generation:
            row = await connection.fetchrow(GENERATION, domain_id, caller.tenant_id)
            if row is None:
                raise DomainNotFound
            return Generation(*row)

        return await self._tenancy.transact(caller, work)

    async def quota(self, caller: Principal) -> Quota:
        async def work(connection: Connection) -> Quota:
            return await quota(connection, caller, self._terms)

        return await self._tenancy.transact(caller, work)

    async def verify(self, caller: Principal, domain_id: UUID) -> Requested:
        async def work(connection: Connection) -> Requested:
            return await requests.verify(connection, caller, domain_id, self._terms.verify_ttl)

        return await self._requested(caller, work)

    async def pause(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            return await pauses.pause(connection, caller, domain_id, datetime.now(UTC))

        return await self._tenancy.transact(caller, work)

    async def resume(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            domain = await requests.find(connection, caller, domain_id)
            if domain.paused_from is not None:
                return await pauses.resume(connection, caller, domain)
            return await requests.resume(connection, caller, domain_id, self._terms.verify_ttl)

        return await self._tenancy.transact(caller, work)

    async def renew(self, caller: Principal, domain_id: UUID) -> Requested:
        async def work(connection: Connection) -> Requested:
            return await requests.renew(connection, caller, domain_id)

        return await self._requested(caller, work)

    async def diagnose(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            return await requests.diagnose(connection, caller, domain_id)

        return await self._tenancy.transact(caller, work)

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            await requests.find(connection, caller, domain_id)
            await connection.execute(requests.REQUEST_JOB, domain_id, "revoke")
            domain = await requests.lock(connection, caller, domain_id)
            await connection.execute(DELETE, domain_id)
            await record(connection, domain, "delete", actor(caller), {"status": domain.status})

        await self._tenancy.transact(caller, work)

    async def ping(self) -> None:
        await self._tenancy.ping()

    async def _requested(self, caller: Principal, work: Callable[[Connection], Awaitable[Requested]]) -> Requested:
        try:
            return await self._tenancy.transact(caller, work)
        except requests.NothingToDo as nothing:
            return Requested(nothing.domain, requested=False)


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
