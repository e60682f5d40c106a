"""Upstream services on PostgreSQL: `api.admin.upstreams.Services`.

A service is stored as its own document. What it refers to must be there, and stays there as long as it does: bundles
and identities by name are held by a foreign key too, the bundle `default` by this code alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import asyncpg

from api.admin.upstreams import InUse, NotThere, ServiceRecord, UnknownReference
from api.auth import Operator
from api.conditions import Condition, entity_tag
from control.domains.tenancy import Connection
from control.services.transactions import Transactions, audit, check_limit
from core.service import DEFAULT, SYSTEM, Service

LIMIT = 10_000  # a cluster each in Envoy, 2 KB each in a sidecar's memory
COUNT = "SELECT count(*) FROM services"
SELECT = """SELECT s.name, s.spec, s.created_at, s.updated_at,
        count(c.service) FILTER (WHERE c.domain_id IS NULL) AS tenants,
        count(c.service) FILTER (WHERE d.deleted_at IS NULL AND d.id IS NOT NULL) AS domains
    FROM services s LEFT JOIN service_choices c ON c.service = s.name LEFT JOIN custom_domains d ON d.id = c.domain_id
    WHERE $1::text IS NULL OR s.name = $1 GROUP BY s.name ORDER BY s.name"""
PUT = """INSERT INTO services (name, spec) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_at = now()"""
TRUST = "SELECT true FROM trust WHERE name = $1"
IDENTITY = "SELECT true FROM identities WHERE name = $1 AND withdrawn_at IS NULL"
# Of deleted domains: nobody is sent there by them.
FORGET = """DELETE FROM service_choices c USING custom_domains d
    WHERE c.service = $1 AND d.id = c.domain_id AND d.deleted_at IS NOT NULL"""
DELETE = "DELETE FROM services WHERE name = $1"


class PlatformServices:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def all(self, caller: Operator) -> Sequence[ServiceRecord]:
        async def work(connection: Connection) -> Sequence[ServiceRecord]:
            return [_record(row) for row in await connection.fetch(SELECT, None)]

        return await self._transactions.read(caller, work)

    async def find(self, caller: Operator, name: str) -> ServiceRecord:
        async def work(connection: Connection) -> ServiceRecord:
            return await _existing(connection, name)

        return await self._transactions.read(caller, work)

    async def put(self, caller: Operator, service: Service, condition: Condition) -> tuple[ServiceRecord, bool]:
        spec = service.to_json()

        async def work(connection: Connection) -> tuple[ServiceRecord, bool]:
            before = await _find(connection, service.name)
            condition.check(None if before is None else before.tag)
            if before is not None and before.spec == spec:
                return before, False
            if before is None:
                await check_limit(connection, COUNT, LIMIT)
            await _check_references(connection, service)
            await connection.execute(PUT, service.name, json.dumps(spec))
            after = await _existing(connection, service.name)
            await audit(connection, caller, "service_put", {"service": service.name, "spec": spec})
            return after, before is None

        return await self._transactions.change(caller, work)

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        async def work(connection: Connection) -> None:
            before = await _existing(connection, name)
            condition.check(before.tag)
            if before.tenants or before.domains:
                raise InUse(
                    "service_in_use", f"It is chosen for {before.tenants} tenants and {before.domains} domains."
                )
            await connection.execute(FORGET, name)
            await connection.execute(DELETE, name)
            await audit(connection, caller, "service_delete", {"service": name, "spec": before.spec})

        await self._transactions.change(caller, work)


async def _check_references(connection: Connection, service: Service) -> None:
    """Raises UnknownReference."""
    if service.tls is None:
        return
    trust, identity = service.tls.trust or DEFAULT, service.tls.identity
    if trust != SYSTEM and not await connection.fetchval(TRUST, trust):
        raise UnknownReference("trust_unknown", trust, "/tls/trust")
    if identity is not None and not await connection.fetchval(IDENTITY, identity):
        raise UnknownReference("identity_unknown", identity, "/tls/identity")


async def _existing(connection: Connection, name: str) -> ServiceRecord:
    """Raises NotThere."""
    found = await _find(connection, name)
    if found is None:
        raise NotThere("service_not_found")
    return found


async def _find(connection: Connection, name: str) -> ServiceRecord | None:
    row = await connection.fetchrow(SELECT, name)
    return None if row is None else _record(row)


def _record(row: asyncpg.Record) -> ServiceRecord:
    spec = json.loads(row["spec"])
    return ServiceRecord(
        name=row["name"],
        spec=spec,
        tag=entity_tag(json.dumps(spec, sort_keys=True)),
        tenants=row["tenants"],
        domains=row["domains"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
