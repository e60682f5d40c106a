"""What operators and tenants have control write of the edge: services, who goes to which, and client certificates."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from core.service import Address, Service
from embedded.ports import LOOPBACK

UNTIL = datetime.now(UTC) + timedelta(days=60)


class EdgeRows:
    """On a connection as control; each call is a transaction of its own, which sidecars hear of."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def put_service(self, name: str, *ports: int, **changes: Any) -> None:
        """On loopback. `changes`: of core.service.Service's members."""
        service = Service(name, tuple(Address(LOOPBACK, port) for port in ports), **changes)
        await self._connection.execute(
            "INSERT INTO services (name, spec) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
            name,
            json.dumps(service.to_json()),
        )

    async def remove_service(self, name: str) -> None:
        await self._connection.execute("DELETE FROM services WHERE name = $1", name)

    async def domains(self, hostnames: Iterable[str]) -> dict[str, tuple[UUID, UUID]]:
        """Tenant and domain by hostname."""
        rows = await self._connection.fetch(
            "SELECT hostname, tenant_id, id FROM custom_domains WHERE hostname = ANY($1) AND deleted_at IS NULL",
            list(hostnames),
        )
        return {row["hostname"]: (row["tenant_id"], row["id"]) for row in rows}

    async def choose(self, tenant: UUID, domain: UUID, service: str) -> None:
        await self._connection.execute(
            """INSERT INTO service_choices (tenant_id, domain_id, service) VALUES ($1, $2, $3)
               ON CONFLICT (tenant_id, domain_id) DO UPDATE SET service = excluded.service""",
            tenant,
            domain,
            service,
        )

    async def unchoose(self, domain: UUID) -> None:
        await self._connection.execute("DELETE FROM service_choices WHERE domain_id = $1", domain)

    async def require_certificates(self, domain: UUID, ca_pem: str) -> None:
        """Of every client of the domain, whoever it is."""
        await self._connection.execute(
            """INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, ca_until)
               VALUES ($1, 'required', false, '{san}', $2, $3)""",
            domain,
            ca_pem,
            UNTIL,
        )

    async def ask_for_none(self, domain: UUID) -> None:
        await self._connection.execute("DELETE FROM client_auth WHERE domain_id = $1", domain)
