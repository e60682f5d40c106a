"""A platform's zone on Knot, a tenant's on the embedded server, a resolver that knows both, and a CA that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import dns.name
from dns.rdatatype import RdataType
from scenes.issuance import Scene

from control.certificates.dns01 import Dns01
from control.dns.authoritative import Authoritative, Patience
from control.dns.delegation import Delegation
from control.dns.outcome import Answer, Definitive
from control.dns.resolver import Resolver
from control.dns.update import Updater, tsig_key
from core.delegation import challenge_name
from core.domain import COLUMNS, TABLES, Domain
from embedded.database import Database
from embedded.dns import DnsServer
from embedded.knot import ALGORITHM, KnotZone
from embedded.pebble import Pebble
from embedded.ports import free_port
from embedded.unbound import Unbound
from embedded.vault_mount import VaultMount

ZONE = "acme.platform.test"


@dataclass(frozen=True, slots=True)
class Delegated:
    """`issuance`: with its own Pebble, which asks the resolver."""

    issuance: Scene
    knot: KnotZone
    resolver: Resolver

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        database: Database,
        mount: VaultMount,
        dns: DnsServer,
        zone: str,
        *,
        secondaries: int = 1,
        **pebble_options: Any,
    ) -> AsyncIterator[Delegated]:
        """`zone`: the tenant's, served by `dns`."""
        async with AsyncExitStack() as stack:
            knot = await stack.enter_async_context(KnotZone.start(state_dir, ZONE, secondaries=secondaries))
            served = {zone: [dns.address], ZONE: knot.addresses}
            unbound = await stack.enter_async_context(Unbound.start(state_dir, served))
            starting = Pebble.start(state_dir, dns_server=unbound.address, http_port=free_port(), **pebble_options)
            pebble = await stack.enter_async_context(starting)
            issuance = await stack.enter_async_context(Scene.start(database, mount, pebble, dns, zone))
            yield cls(issuance, knot, Resolver.parse(unbound.address))

    def zone(self, pool: asyncpg.Pool[Any] | None = None, *, server: str | None = None) -> Dns01:
        """`server`: another than the primary."""
        key = tsig_key(self.knot.key.name, self.knot.key.secret, ALGORITHM)
        servers = [Resolver.parse(address) for address in self.knot.addresses]
        return Dns01(
            pool or self.issuance.replica.pool,
            ZONE,
            Updater(ZONE, Resolver.parse(server or self.knot.primary.address), lambda: key),
            Authoritative(ZONE, [], servers, Patience(whole=60, silent=60)),
            Delegation([self.resolver], ZONE, lambda: datetime.now(UTC), timeout=30),
        )

    async def domain(self, label: str, *, delegate: bool = True) -> Domain:
        """A verified domain with an `obtain` job, and its CNAME in the tenant's zone."""
        domain = await self.load(await self.issuance.domain(label))
        if delegate:
            self.delegate(domain)
        return domain

    def delegate(self, domain: Domain) -> None:
        target = f"{domain.acme_label}.{ZONE}."
        self.issuance.dns.replace(challenge_name(domain.hostname), "CNAME", target)

    async def load(self, domain_id: UUID) -> Domain:
        row = await self.issuance.replica.pool.fetchrow(
            f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1",
            domain_id,
        )
        assert row is not None
        return Domain.from_row(row)

    async def published(self, domain: Domain) -> set[str]:
        """What the primary has for the domain, or others of its name."""
        name = dns.name.from_text(f"{domain.acme_label}.{ZONE}")
        outcome = await Resolver.parse(self.knot.primary.address).ask(name, RdataType.TXT, 30, recursive=False)
        assert isinstance(outcome, Definitive), outcome
        return {value.decode() for value in outcome.values} if isinstance(outcome, Answer) else set()
