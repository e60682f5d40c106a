"""What the tenants' API does to domains, on PostgreSQL as the role nameplate_api: `api.service.Domains`.

Each operation is one transaction that first says which tenant it is for; row level security then hides all others',
so a missing WHERE could not leak. The API may not touch `jobs`; it asks for work by `request_job_v1` and
`request_certificate_v1`.

Locks are taken in one order, so that nobody waits in a circle: idempotency key, tenant, job, domain. Workers take
the job before the domain too (control.domains.transition).
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from api.auth import Principal
from api.service import (
    PROVEN_STATUSES,
    Added,
    DiagnosisTooSoon,
    DomainMoved,
    DomainNotActive,
    DomainNotFound,
    DomainNotPaused,
    DomainPaused,
    DomainsError,
    Entry,
    HostnameTaken,
    Idempotency,
    KeyReused,
    Position,
    Quota,
    RenewalTooSoon,
    Reply,
    Requested,
    Unavailable,
    VerificationTooSoon,
)
from control.domains.claims import COOL_DOWN
from control.domains.imports import HOSTNAME_STATE, Terms, quota, register
from control.domains.tenancy import Connection, Tenancy, actor
from control.domains.transition import DomainGone, apply, load, load_live, record
from core.domain import COLUMNS, TABLES, Domain

VERIFY_PAUSE = 5.0  # seconds between two looks that one domain's tenant may ask for
DIAGNOSIS_PAUSE = 5.0  # seconds between two diagnoses of a domain
RENEW_PAUSE = 3600.0  # seconds between two renewals that a tenant asks for; the CA allows 5 of a name in 7 days

CLAIM_KEY = """INSERT INTO idempotency_keys (tenant_id, key, request_hash) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING true"""
READ_KEY = "SELECT request_hash, response FROM idempotency_keys WHERE tenant_id = $1 AND key = $2"
STORE_REPLY = "UPDATE idempotency_keys SET response = $3 WHERE tenant_id = $1 AND key = $2"
PAGE = f"""SELECT {COLUMNS} FROM {TABLES}
    WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND (d.created_at, d.id) > ($2, $3)
        AND ($4::text IS NULL OR d.status = $4)
    ORDER BY d.created_at, d.id LIMIT $5"""  # noqa: S608 -- constants
WAS_OWN = "SELECT true FROM custom_domains WHERE id = $1 AND tenant_id = $2"
AUDIT_PAGE = """SELECT id, at, hostname, actor, action, detail FROM audit
    WHERE domain_id = $1 AND tenant_id = $2 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"""
REQUEST_JOB = "SELECT request_job_v1($1, $2)"
REQUEST_CERTIFICATE = "SELECT request_certificate_v1($1)"
# A clock that was set back must not make a pause of seconds one of days.
SECONDS_SINCE = """SELECT extract(epoch FROM clock_timestamp() - max(at))::float8 FROM audit
    WHERE domain_id = $1 AND action = ANY($2) AND at <= clock_timestamp()"""
AUDIT_REQUEST = "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $2, $3, $4, $5)"
NEW_WINDOW = "UPDATE custom_domains SET verify_deadline = now() + $2, next_attempt = NULL WHERE id = $1"
TRY_NOW = "UPDATE custom_domains SET next_attempt = NULL, updated_at = now() WHERE id = $1"
LOOK_NOW = "UPDATE custom_domains SET look_at = now() WHERE id = $1"
RENEW_NOW = "UPDATE custom_domains SET renew_at = now() WHERE id = $1"
DELETE = "UPDATE custom_domains SET deleted_at = now(), updated_at = now() WHERE id = $1"
DIAGNOSED = """SELECT extract(epoch FROM clock_timestamp() - diagnosed_at)::float8 FROM custom_domains
    WHERE id = $1 FOR UPDATE"""
DIAGNOSE = "UPDATE custom_domains SET diagnosed_at = clock_timestamp() WHERE id = $1"

# Nothing is to be proven. One that has moved away is looked at again, in case it has come back.
SETTLED_STATUSES = PROVEN_STATUSES - {"moved"}
VERIFY_ACTIONS = ("verify_request", "retry")
RENEW_ACTIONS = ("renew_request",)

START = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


class TenantDomains:
    """`verify_ttl`: how long a tenant has to prove a domain. `max_domains`: where the tenant's plan says nothing.

    `cool_down`: how long a name that was proven is kept from other tenants once it is given up.
    """

    def __init__(
        self, pool: asyncpg.Pool[Any], verify_ttl: timedelta, max_domains: int, cool_down: timedelta = COOL_DOWN
    ) -> None:
        self._tenancy = Tenancy(pool)
        self._terms = Terms(verify_ttl, max_domains, cool_down)

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
            return await requests.find(connection, caller, domain_id)

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

    async def quota(self, caller: Principal) -> Quota:
        async def work(connection: Connection) -> Quota:
            return await quota(connection, caller, self._terms)

        return await self._tenancy.transact(caller, work)

    async def verify(self, caller: Principal, domain_id: UUID) -> Requested:
        async def work(connection: Connection) -> Requested:
            return await requests.verify(connection, caller, domain_id, self._terms.verify_ttl)

        return await self._requested(caller, work)

    async def resume(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
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
