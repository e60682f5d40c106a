"""What each tenant's plan allows: read and set by the operator, as the role nameplate_control."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from api.service import REGISTRATIONS_HOURS
from control.domains.imports import ADD_TENANT, LOCK_TENANT

# The audit's rows are about a domain; a plan is about none.
NO_DOMAIN = UUID(int=0)
DAY = timedelta(hours=REGISTRATIONS_HOURS)

PLANS = """SELECT t.id, t.slug, t.max_domains, t.created_at,
        (SELECT coalesce(jsonb_object_agg(status, domains), '{}') FROM (
            SELECT status, count(*) AS domains FROM custom_domains
            WHERE tenant_id = t.id AND deleted_at IS NULL GROUP BY status) AS live) AS by_status,
        (SELECT count(*) FROM custom_domains WHERE tenant_id = t.id AND created_at > now() - $1::interval) AS registered
    FROM tenants t"""
PAGE = PLANS + " WHERE $2::uuid IS NULL OR t.id > $2 ORDER BY t.id LIMIT $3"
ONE = PLANS + " WHERE t.id = $2"
PRESENT = "SELECT max_domains FROM tenants WHERE id = $1 FOR UPDATE"
SET = "UPDATE tenants SET max_domains = $2 WHERE id = $1"
AUDIT = """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail)
    VALUES ($1, $2, '', $3, 'limit', $4)"""

Connection: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True, slots=True)
class Plan:
    """`max_domains`: None stands for the default. `registered`: within a day, deleted ones included."""

    tenant_id: UUID
    slug: str
    max_domains: int | None
    created_at: datetime
    by_status: Mapping[str, int]
    registered: int

    @property
    def used(self) -> int:
        return sum(self.by_status.values())

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Plan:
        return cls(
            row["id"],
            row["slug"],
            row["max_domains"],
            row["created_at"],
            json.loads(row["by_status"]),
            row["registered"],
        )


async def page(connection: Connection, after: UUID | None, limit: int) -> Sequence[Plan]:
    """The next tenants after one, in the order of their ids."""
    return [Plan.from_row(row) for row in await connection.fetch(PAGE, DAY, after, limit)]


async def find(connection: Connection, tenant_id: UUID) -> Plan | None:
    row = await connection.fetchrow(ONE, DAY, tenant_id)
    return None if row is None else Plan.from_row(row)


async def set_limit(connection: Connection, tenant_id: UUID, limit: int | None, actor: str) -> Plan:
    """The plan after it. Also for a tenant that has not registered anything yet. Domains above the limit stay."""
    async with connection.transaction():
        await connection.execute(LOCK_TENANT, str(tenant_id))
        await connection.execute(ADD_TENANT, tenant_id)
        before = await connection.fetchval(PRESENT, tenant_id)
        if before != limit:
            await connection.execute(SET, tenant_id, limit)
            detail = json.dumps({"from": before, "to": limit})
            await connection.execute(AUDIT, tenant_id, NO_DOMAIN, actor, detail)
        plan = await find(connection, tenant_id)
    assert plan is not None  # noqa: S101 -- it was added
    return plan
