"""Which service a tenant's requests are sent to, or one domain's: `api.admin.upstreams.Choices`."""

from __future__ import annotations

from uuid import UUID

from api.admin.upstreams import Choice, NotThere, UnknownReference
from api.auth import Operator
from api.service import DomainNotFound
from control.domains.tenancy import Connection
from control.services.transactions import PLATFORM, Transactions, audit

TENANT = "SELECT true FROM tenants WHERE id = $1"
DOMAIN = "SELECT tenant_id, hostname FROM custom_domains WHERE id = $1 AND deleted_at IS NULL"
SERVICE = "SELECT true FROM services WHERE name = $1"
SELECT = """SELECT service, updated_at FROM service_choices
    WHERE tenant_id = $1 AND domain_id IS NOT DISTINCT FROM $2::uuid"""
PUT = """INSERT INTO service_choices (tenant_id, domain_id, service) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, domain_id) DO UPDATE SET service = excluded.service, updated_at = now()"""
DELETE = """DELETE FROM service_choices WHERE tenant_id = $1 AND domain_id IS NOT DISTINCT FROM $2::uuid
    RETURNING service"""


class PlatformChoices:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def of_tenant(self, caller: Operator, tenant_id: UUID) -> Choice:
        async def work(connection: Connection) -> Choice:
            await _check_tenant(connection, tenant_id)
            return await _choice(connection, tenant_id, None)

        return await self._transactions.read(caller, work)

    async def of_domain(self, caller: Operator, domain_id: UUID) -> Choice:
        async def work(connection: Connection) -> Choice:
            tenant_id, _ = await _domain(connection, domain_id)
            return await _choice(connection, tenant_id, domain_id)

        return await self._transactions.read(caller, work)

    async def put_tenant(self, caller: Operator, tenant_id: UUID, service: str) -> Choice:
        async def work(connection: Connection) -> Choice:
            await _check_tenant(connection, tenant_id)
            return await _put(connection, caller, tenant_id, None, "", service)

        return await self._transactions.change(caller, work)

    async def put_domain(self, caller: Operator, domain_id: UUID, service: str) -> Choice:
        async def work(connection: Connection) -> Choice:
            tenant_id, hostname = await _domain(connection, domain_id)
            return await _put(connection, caller, tenant_id, domain_id, hostname, service)

        return await self._transactions.change(caller, work)

    async def delete_tenant(self, caller: Operator, tenant_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            await _check_tenant(connection, tenant_id)
            await _delete(connection, caller, tenant_id, None, "")

        await self._transactions.change(caller, work)

    async def delete_domain(self, caller: Operator, domain_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            tenant_id, hostname = await _domain(connection, domain_id)
            await _delete(connection, caller, tenant_id, domain_id, hostname)

        await self._transactions.change(caller, work)


async def _check_tenant(connection: Connection, tenant_id: UUID) -> None:
    """Raises NotThere."""
    if not await connection.fetchval(TENANT, tenant_id):
        raise NotThere("tenant_not_found")


async def _domain(connection: Connection, domain_id: UUID) -> tuple[UUID, str]:
    """Its tenant and hostname. Raises DomainNotFound."""
    row = await connection.fetchrow(DOMAIN, domain_id)
    if row is None:
        raise DomainNotFound
    return row["tenant_id"], row["hostname"]


async def _choice(connection: Connection, tenant_id: UUID, domain_id: UUID | None) -> Choice:
    row = await connection.fetchrow(SELECT, tenant_id, domain_id)
    if row is None:
        return Choice(tenant_id, domain_id, None, None)
    return Choice(tenant_id, domain_id, row["service"], row["updated_at"])


async def _put(
    connection: Connection, caller: Operator, tenant_id: UUID, domain_id: UUID | None, hostname: str, service: str
) -> Choice:
    """Raises UnknownReference."""
    if not await connection.fetchval(SERVICE, service):
        raise UnknownReference("service_unknown", service, "/service")
    before = await _choice(connection, tenant_id, domain_id)
    if before.service == service:
        return before
    await connection.execute(PUT, tenant_id, domain_id, service)
    detail = {"tenant": str(tenant_id), "service": service, "before": before.service}
    await audit(connection, caller, "choice_put", detail, domain_id or PLATFORM, hostname)
    return await _choice(connection, tenant_id, domain_id)


async def _delete(
    connection: Connection, caller: Operator, tenant_id: UUID, domain_id: UUID | None, hostname: str
) -> None:
    """Raises NotThere."""
    service = await connection.fetchval(DELETE, tenant_id, domain_id)
    if service is None:
        raise NotThere("choice_not_found")
    detail = {"tenant": str(tenant_id), "before": service}
    await audit(connection, caller, "choice_delete", detail, domain_id or PLATFORM, hostname)
