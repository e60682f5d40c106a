"""A platform that looks at its tenants' names again, and a zone in which those lead wherever a test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from control.dns.presence import Presence
from control.dns.resolver import Resolver
from control.domains.watch import Watch
from core.domain import Domain, Finding
from embedded.dns import DnsServer

INTERVAL = timedelta(hours=6)
MINE, APEX, FOREIGN = "192.0.2.1", "192.0.2.7", "198.51.100.9"


@dataclass(slots=True)
class Room:
    """A platform and one watch. `zone`: of the tenant's names."""

    pool: asyncpg.Pool[Any]
    servers: list[DnsServer]
    zone: str
    target: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    behind_proxy: set[str] = field(default_factory=set)
    raising: dict[str, Exception] = field(default_factory=dict)
    delegation: str = "delegation_missing"
    patience: float = 5.0  # seconds for a resolver

    def clock(self) -> datetime:
        return self.now

    def watch(self, apex: tuple[str, ...] = (APEX,)) -> Watch:
        async def probe(domain: Domain, addresses: frozenset[str]) -> bool:
            assert addresses
            if domain.hostname in self.raising:
                raise self.raising[domain.hostname]
            return domain.hostname in self.behind_proxy

        async def look_at_delegation(_domain: Domain) -> Finding:
            return Finding(self.delegation, "", "nobody", self.now, {})

        resolvers = [Resolver("127.0.0.1", server.port, self.patience) for server in self.servers]
        presence = Presence(resolvers, self.target, apex, self.clock, 3 * self.patience, look_at_delegation, probe)
        return Watch(self.pool, presence, "control:test", self.clock, INTERVAL)

    async def domain(self, label: str = "shop", *, status: str = "active", ssl: str = "issued") -> UUID:
        """Of a tenant of its own, due at once."""
        async with self.pool.acquire() as connection, connection.transaction():
            tenant = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id"
            )
            domain_id: UUID = await connection.fetchval(
                """INSERT INTO custom_domains
                       (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status, look_at)
                   VALUES ($1, $2, 'token', now(), $3, $4, $5) RETURNING id""",
                tenant,
                self.full(label),
                status,
                ssl,
                self.now,
            )
        return domain_id

    def full(self, label: str) -> str:
        return self.zone if label == "@" else f"{label}.{self.zone}"

    async def own_target(self, domain_id: UUID) -> str:
        label = await self.pool.fetchval(
            "SELECT target_label FROM tenants WHERE id = (SELECT tenant_id FROM custom_domains WHERE id = $1)",
            domain_id,
        )
        return f"{label}.{self.target}."

    def point(self, label: str, rdtype: str, *values: str) -> None:
        for server in self.servers:
            for kind in ("A", "AAAA", "CNAME"):
                server.remove(self.full(label), kind)
            for value in values:
                server.add(self.full(label), rdtype, value)

    async def look(self, times: int = 1) -> None:
        """Let so many looks come, each when its time has come."""
        for _ in range(times):
            due = await self.pool.fetchval("SELECT max(look_at) FROM custom_domains WHERE deleted_at IS NULL")
            self.now = max(self.now, due)
            assert await self.watch().round() > 0

    async def row(self, domain_id: UUID) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT * FROM custom_domains WHERE id = $1", domain_id)

    async def status(self, domain_id: UUID) -> str:
        return str((await self.row(domain_id))["status"])

    async def finding(self, domain_id: UUID) -> str | None:
        stored = (await self.row(domain_id))["dns_finding"]
        return None if stored is None else str(json.loads(stored)["code"])

    async def steps(self, domain_id: UUID) -> list[str]:
        rows = await self.pool.fetch("SELECT event FROM outbox WHERE domain_id = $1 ORDER BY id", domain_id)
        return [row["event"] for row in rows]

    @classmethod
    @asynccontextmanager
    async def open(cls, pool: asyncpg.Pool[Any], dns_zone: Any) -> AsyncIterator[Room]:
        """Two resolvers with the same zones."""
        target = f"custom.{dns_zone.full('platform')}"
        async with DnsServer.start() as second:
            second.add_zone(dns_zone.origin)
            room = cls(pool, [dns_zone.server, second], dns_zone.origin, target)
            for server in room.servers:
                for name in (target, f"*.{target}"):
                    server.add(name, "A", MINE)
            yield room
