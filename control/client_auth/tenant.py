"""What the tenants' API does to client certificates and consumers, on PostgreSQL: `api.client_auth.ClientAuths`.

The domain is locked while its settings change: else it might go live between the look at it and the change, and
connections that were let in meanwhile would not hear of it (0019_client_auth.sql).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from api.auth import Principal
from api.client_auth import (
    CHAIN_WEIGHT,
    CHANGES_MINUTES,
    LOOK_WEIGHT,
    MAX_ASKING,
    MAX_CHANGES,
    MAX_CONSUMERS,
    MAX_PLATFORM_ASKING,
    MAX_TENANT_SIZE,
    ChangesTooMany,
    ClientAuth,
    ClientAuthLimit,
    Consumer,
    ConsumerExists,
    ConsumerLimitReached,
    ConsumerNotFound,
    NewConsumer,
    NoClientAuth,
    PlatformLimit,
    Settings,
)
from api.service import Position
from control.client_auth.endings import hours_to_warn
from control.domains import requests
from control.domains.imports import ADD_TENANT
from control.domains.tenancy import Connection, Tenancy, actor
from control.domains.transition import record
from core.client_auth import ClientTrust, Crl
from core.client_identity import parse_group, parse_groups_from, parse_value
from core.trust import Authority

AT_ONCE = 4  # bundles that are read: the longest lists take some ten milliseconds of processor time
# In the audit, what is the tenant's and no domain's.
NO_DOMAIN = UUID(int=0)

LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate client auth ' || $1, 0))"
OTHERS = """SELECT count(*) AS asking, coalesce(sum(length(a.ca_pem) + coalesce(length(a.crl_pem), 0)), 0) AS size
    FROM client_auth a JOIN custom_domains d ON d.id = a.domain_id
    WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND d.id <> $2"""
PUT = """INSERT INTO client_auth AS a (domain_id, mode, lookup, identity_by, groups_from, ca_pem, crl_pem, authorities,
        crls, ca_until, crl_until, ca_warned, crl_warned)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (domain_id) DO UPDATE SET mode = $2, lookup = $3, identity_by = $4, groups_from = $5, ca_pem = $6,
        crl_pem = $7, authorities = $8, crls = $9, ca_until = $10, crl_until = $11, ca_warned = $12, crl_warned = $13,
        updated_at = now()
    WHERE (a.mode, a.lookup, a.identity_by, a.groups_from, a.ca_pem, a.crl_pem)
        IS DISTINCT FROM ($2, $3, $4, $5, $6, $7)
    RETURNING created_at = updated_at"""
# Of the last place several may be taken at once: the sidecars hold twice as many.
ASKING_IN_ALL = "SELECT asking_in_all_v1()"
MODE = "SELECT mode FROM client_auth WHERE domain_id = $1"
FIND = """SELECT mode, lookup, identity_by, groups_from, ca_pem, crl_pem, authorities, crls, created_at, updated_at
    FROM client_auth WHERE domain_id = $1"""
DELETE = "DELETE FROM client_auth WHERE domain_id = $1 RETURNING true"

CHANGE = "INSERT INTO client_auth_changes (tenant_id, weight) VALUES ($1, $2)"
RECENT = f"""SELECT sum(weight) AS changes,
        extract(epoch FROM min(at) + interval '{CHANGES_MINUTES} minutes' - clock_timestamp())::float8 AS seconds
    FROM client_auth_changes WHERE tenant_id = $1 AND at > now() - interval '{CHANGES_MINUTES} minutes'"""  # noqa: S608

CONSUMER = "id, name, kind, value, groups, created_at, updated_at"
COUNT = "SELECT count(*) FROM consumers WHERE tenant_id = $1"
ADD = "INSERT INTO consumers (id, tenant_id, name, kind, value, groups) VALUES ($1, $2, $3, $4, $5, $6)"
PAGE = f"""SELECT {CONSUMER} FROM consumers WHERE tenant_id = $1 AND (created_at, id) > ($2, $3)
    ORDER BY created_at, id LIMIT $4"""  # noqa: S608 -- constants
FIND_CONSUMER = f"SELECT {CONSUMER} FROM consumers WHERE id = $1 AND tenant_id = $2"  # noqa: S608 -- constants
REPLACE = """UPDATE consumers SET name = $3, kind = $4, value = $5, groups = $6, updated_at = now()
    WHERE id = $1 AND tenant_id = $2 AND (name, kind, value, groups) IS DISTINCT FROM ($3, $4, $5, $6)
    RETURNING true"""
REMOVE = "DELETE FROM consumers WHERE id = $1 AND tenant_id = $2 RETURNING name, kind, value"
AUDIT = "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail) VALUES ($1, $2, '', $3, $4, $5)"

START = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


class TenantClientAuths:
    """`pool`: as the API's role. `most`: changes of a tenant in CHANGES_MINUTES."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        most: int = MAX_CHANGES,
    ) -> None:
        self._most = most
        self._tenancy = Tenancy(pool)
        self._now = now
        self._places = asyncio.Semaphore(AT_ONCE)

    async def put(self, caller: Principal, domain_id: UUID, settings: Settings) -> tuple[ClientAuth, bool]:
        if settings.groups_from is not None:
            parse_groups_from(settings.groups_from)
        await self._looked(caller, domain_id)
        now = self._now()
        async with self._places:
            trust = await asyncio.to_thread(ClientTrust.parse, settings.ca_pem, settings.crl_pem, now)

        async def work(connection: Connection) -> tuple[bool, str, asyncpg.Record]:
            await connection.execute(LOCK_TENANT, str(caller.tenant_id))
            domain = await requests.lock(connection, caller, domain_id)
            others = await connection.fetchrow(OTHERS, caller.tenant_id, domain_id)
            size = others["size"] + len(trust.ca_pem) + len(trust.crl_pem or "")
            if others["asking"] >= MAX_ASKING or size > MAX_TENANT_SIZE:
                raise ClientAuthLimit
            before = await connection.fetchval(MODE, domain_id)
            if before is None and await connection.fetchval(ASKING_IN_ALL) >= MAX_PLATFORM_ASKING:
                raise PlatformLimit
            created = await connection.fetchval(
                PUT,
                domain_id,
                settings.mode,
                settings.lookup,
                list(settings.identify_by),
                settings.groups_from,
                trust.ca_pem,
                trust.crl_pem,
                json.dumps([one.to_json() for one in trust.authorities]),
                json.dumps([one.to_json() for one in trust.crls]),
                trust.ca_until,
                trust.crl_until,
                hours_to_warn(trust.ca_until, now),
                hours_to_warn(trust.crl_until, now),
            )
            if created is not None:  # it is not as it was
                if before != settings.mode:
                    await self._count(connection, caller, CHAIN_WEIGHT)
                await record(connection, domain, "client_auth_set", actor(caller), _facts(settings, trust))
            return bool(created), domain.hostname, await connection.fetchrow(FIND, domain_id)

        created, hostname, row = await self._tenancy.transact(caller, work)
        return _client_auth(domain_id, hostname, row), created

    async def find(self, caller: Principal, domain_id: UUID) -> ClientAuth:
        async def work(connection: Connection) -> tuple[str, asyncpg.Record | None]:
            domain = await requests.find(connection, caller, domain_id)
            return domain.hostname, await connection.fetchrow(FIND, domain_id)

        hostname, row = await self._tenancy.transact(caller, work)
        if row is None:
            raise NoClientAuth
        return _client_auth(domain_id, hostname, row)

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            domain = await requests.lock(connection, caller, domain_id)
            if not await connection.fetchval(DELETE, domain_id):
                raise NoClientAuth
            await self._count(connection, caller, CHAIN_WEIGHT)
            await record(connection, domain, "client_auth_remove", actor(caller), {})

        await self._tenancy.transact(caller, work)

    async def add_consumer(self, caller: Principal, consumer: NewConsumer) -> Consumer:
        consumer_id, wanted = uuid4(), _normal(consumer)

        async def work(connection: Connection) -> Consumer:
            await connection.execute(LOCK_TENANT, str(caller.tenant_id))
            await connection.execute(ADD_TENANT, caller.tenant_id)
            if await connection.fetchval(COUNT, caller.tenant_id) >= MAX_CONSUMERS:
                raise ConsumerLimitReached
            values = (wanted.name, wanted.kind, wanted.value, list(wanted.groups))
            await connection.execute(ADD, consumer_id, caller.tenant_id, *values)
            await self._count(connection, caller)
            await _audit(connection, caller, "consumer_add", consumer_id, wanted)
            return await _consumer(connection, caller, consumer_id)

        return await self._changed(caller, work)

    async def consumers(self, caller: Principal, after: Position | None, limit: int) -> Sequence[Consumer]:
        position = after or START

        async def work(connection: Connection) -> Sequence[Consumer]:
            rows = await connection.fetch(PAGE, caller.tenant_id, position.created_at, position.domain_id, limit)
            return list(map(_read, rows))

        return await self._tenancy.transact(caller, work)

    async def find_consumer(self, caller: Principal, consumer_id: UUID) -> Consumer:
        async def work(connection: Connection) -> Consumer:
            return await _consumer(connection, caller, consumer_id)

        return await self._tenancy.transact(caller, work)

    async def replace_consumer(self, caller: Principal, consumer_id: UUID, consumer: NewConsumer) -> Consumer:
        wanted = _normal(consumer)

        async def work(connection: Connection) -> Consumer:
            values = (wanted.name, wanted.kind, wanted.value, list(wanted.groups))
            if await connection.fetchval(REPLACE, consumer_id, caller.tenant_id, *values):
                await self._count(connection, caller)
                await _audit(connection, caller, "consumer_change", consumer_id, wanted)
            return await _consumer(connection, caller, consumer_id)

        return await self._changed(caller, work)

    async def delete_consumer(self, caller: Principal, consumer_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            gone = await connection.fetchrow(REMOVE, consumer_id, caller.tenant_id)
            if gone is None:
                raise ConsumerNotFound
            await self._count(connection, caller)
            was = NewConsumer(gone["name"], gone["kind"], gone["value"], ())
            await _audit(connection, caller, "consumer_remove", consumer_id, was)

        await self._tenancy.transact(caller, work)

    async def _looked(self, caller: Principal, domain_id: UUID) -> None:
        """Counted whatever comes of it, before any processor time is spent. Raises DomainNotFound, ChangesTooMany."""

        async def work(connection: Connection) -> None:
            await requests.find(connection, caller, domain_id)
            await self._count(connection, caller, LOOK_WEIGHT)

        await self._tenancy.transact(caller, work)

    async def _count(self, connection: Connection, caller: Principal, weight: int = 1) -> None:
        """One change more. Raises ChangesTooMany."""
        await connection.execute(CHANGE, caller.tenant_id, weight)
        recent = await connection.fetchrow(RECENT, caller.tenant_id)
        if recent["changes"] > self._most:
            raise ChangesTooMany(math.ceil(max(recent["seconds"], 1.0)))

    async def _changed(self, caller: Principal, work: Callable[[Connection], Any]) -> Consumer:
        try:
            made: Consumer = await self._tenancy.transact(caller, work)
        except asyncpg.UniqueViolationError:
            raise ConsumerExists from None
        return made


def _normal(consumer: NewConsumer) -> NewConsumer:
    """Raises ClientIdentityError."""
    groups = tuple(map(parse_group, consumer.groups))
    return NewConsumer(consumer.name, consumer.kind, parse_value(consumer.kind, consumer.value), groups)


def _client_auth(domain_id: UUID, hostname: str, row: asyncpg.Record) -> ClientAuth:
    settings = Settings(
        row["mode"], row["ca_pem"], row["crl_pem"], row["lookup"], tuple(row["identity_by"]), row["groups_from"]
    )
    authorities = tuple(map(Authority.from_json, json.loads(row["authorities"])))
    crls = tuple(map(Crl.from_json, json.loads(row["crls"])))
    return ClientAuth(domain_id, hostname, settings, authorities, crls, row["created_at"], row["updated_at"])


def _facts(settings: Settings, trust: ClientTrust) -> Mapping[str, Any]:
    return {
        "mode": settings.mode,
        "lookup": settings.lookup,
        "identify_by": list(settings.identify_by),
        "groups_from": settings.groups_from,
        "authorities": [one.fingerprint for one in trust.authorities],
        "crl_until": None if trust.crl_until is None else trust.crl_until.isoformat(),
    }


async def _consumer(connection: Connection, caller: Principal, consumer_id: UUID) -> Consumer:
    """Raises ConsumerNotFound, also for another tenant's."""
    row = await connection.fetchrow(FIND_CONSUMER, consumer_id, caller.tenant_id)
    if row is None:
        raise ConsumerNotFound
    return _read(row)


async def _audit(
    connection: Connection, caller: Principal, action: str, consumer_id: UUID, consumer: NewConsumer
) -> None:
    facts = {
        "consumer": str(consumer_id),
        "name": consumer.name,
        "kind": consumer.kind,
        "value": consumer.value,
        "groups": list(consumer.groups),
    }
    await connection.execute(AUDIT, caller.tenant_id, NO_DOMAIN, actor(caller), action, json.dumps(facts))


def _read(row: asyncpg.Record) -> Consumer:
    return Consumer(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        value=row["value"],
        groups=tuple(row["groups"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
