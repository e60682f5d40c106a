"""The edge as tests want it: without a database, written to one, and as a database has it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from scenes.client_certificates import Authority, pem

from core.certificate import Certificate
from core.service import Service
from embedded.database import Database
from sidecar.edge.model import CLIENT_AUTH, CONSUMER, SERVICE, ClientAuth, Consumer, Edge, Identity
from sidecar.edge.table import EdgeTable

SOON = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
SPEC: dict[str, Any] = {"addresses": [{"host": "127.0.0.1", "port": 8080}]}
AUTHORITIES = tuple(Authority.root(f"Root {number}", number) for number in range(3))
BUNDLES = tuple(one.pem for one in AUTHORITIES)
LISTS = tuple(pem(one.crl(7)) for one in AUTHORITIES)


def edges(edge: Edge | None = None) -> EdgeTable:
    """A table that is loaded, with nothing in it unless something is given: the service of all is `default`."""
    table = EdgeTable()
    table.replace(edge or Edge())
    return table


class EdgeRows:
    """Writes rows as control does, on a connection of the workers' role. Names are made as needed."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    async def service(self, name: str, port: int = 8080, **spec: Any) -> None:
        document = {"addresses": [{"host": "127.0.0.1", "port": port}], **spec}
        await self.connection.execute(
            "INSERT INTO services (name, spec) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
            name,
            json.dumps(document),
        )

    async def trust(self, name: str, number: int = 0) -> None:
        await self.connection.execute(
            "INSERT INTO trust (name, pem) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET pem = excluded.pem",
            name,
            BUNDLES[number],
        )

    async def identity(self, name: str, version: int = 1, fingerprint: str = "ab" * 32) -> None:
        await self.connection.execute(
            """INSERT INTO identities (name, serial, issuer, fingerprint, names, not_before, not_after, vault_version)
               VALUES ($1, '0a', 'CA', $3, '{}', now(), $4, $2)
               ON CONFLICT (name) DO UPDATE SET fingerprint = $3, vault_version = $2""",
            name,
            version,
            fingerprint,
            SOON,
        )

    async def choice(self, tenant: UUID, domain: UUID | None, service: str) -> None:
        await self.connection.execute(
            """INSERT INTO service_choices (tenant_id, domain_id, service) VALUES ($1, $2, $3)
               ON CONFLICT (tenant_id, domain_id) DO UPDATE SET service = excluded.service""",
            tenant,
            domain,
            service,
        )

    async def client_auth(self, domain: UUID, mode: str = "required", number: int = 0, *, crl: bool = False) -> None:
        await self.connection.execute(
            """INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, crl_pem, ca_until, crl_until)
               VALUES ($1, $2, true, '{san,subject}', $3, $4, $5::timestamptz,
                       CASE WHEN $4::text IS NOT NULL THEN $5::timestamptz END)
               ON CONFLICT (domain_id) DO UPDATE
               SET mode = $2, ca_pem = $3, crl_pem = $4, crl_until = excluded.crl_until""",
            domain,
            mode,
            BUNDLES[number],
            LISTS[number] if crl else None,
            SOON,
        )

    async def consumer(self, tenant: UUID, name: str, value: str, *groups: str) -> None:
        await self.connection.execute(
            """INSERT INTO consumers (tenant_id, name, kind, value, groups) VALUES ($1, $2, 'san', $3, $4)
               ON CONFLICT (tenant_id, kind, value) DO UPDATE SET name = $2, groups = $4""",
            tenant,
            name,
            value,
            list(groups),
        )

    async def remove(self, table: str, column: str, value: object) -> None:
        await self.connection.execute(f"DELETE FROM {table} WHERE {column} = $1", value)


async def stored(database: Database) -> Edge:
    """What the tables say, read by a superuser and put together by other hands than the sidecar's."""
    connection = await asyncpg.connect(database.superuser_dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            services = await connection.fetch("SELECT name, spec FROM services")
            trust = await connection.fetch("SELECT name, pem FROM trust")
            identities = await connection.fetch("SELECT * FROM identities WHERE withdrawn_at IS NULL")
            choices = await connection.fetch(
                """SELECT c.* FROM service_choices c LEFT JOIN custom_domains d ON d.id = c.domain_id
                   WHERE d.deleted_at IS NULL"""
            )
            auths = await connection.fetch(
                """SELECT * FROM client_auth a JOIN custom_domains d ON d.id = a.domain_id
                   WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved')"""
            )
            names = await connection.fetch(
                """SELECT hostname FROM custom_domains
                   WHERE deleted_at IS NULL AND status IN ('verified', 'active', 'moved') ORDER BY hostname"""
            )
            consumers = await connection.fetch("SELECT * FROM consumers ORDER BY id")
    finally:
        await connection.close()
    below = {
        str(row["domain_id"]): tuple(
            name for (name,) in names if name[0] != "*" and name.partition(".")[2] == row["hostname"][2:]
        )
        for row in auths
        if row["hostname"].startswith("*.")
    }
    by_tenant: dict[str, list[Consumer]] = {}
    for row in consumers:
        each = Consumer(
            str(row["id"]), str(row["tenant_id"]), row["name"], row["kind"], row["value"], tuple(row["groups"])
        )
        by_tenant.setdefault(each.tenant_id, []).append(each)
    return Edge(
        services={row["name"]: Service.from_json(row["name"], json.loads(row["spec"])) for row in services},
        trust={row["name"]: row["pem"].encode() for row in trust},
        identities={
            row["name"]: Identity(row["name"], row["fingerprint"], row["vault_version"], row["not_after"].timestamp())
            for row in identities
        },
        by_tenant={str(row["tenant_id"]): row["service"] for row in choices if row["domain_id"] is None},
        by_domain={str(row["domain_id"]): row["service"] for row in choices if row["domain_id"] is not None},
        client_auth={
            str(row["domain_id"]): ClientAuth(
                str(row["domain_id"]),
                str(row["tenant_id"]),
                row["hostname"],
                row["mode"] == "required",
                row["lookup"],
                tuple(row["identity_by"]),
                row["groups_from"],
                row["ca_pem"].encode(),
                None if row["crl_pem"] is None else row["crl_pem"].encode(),
            )
            for row in auths
        },
        consumers={tenant: tuple(several) for tenant, several in by_tenant.items()},
        below={domain: several for domain, several in below.items() if several},
    )


# --- at random

UUIDS = st.sampled_from([str(UUID(int=number)) for number in range(1, 6)])
NAMES = st.sampled_from(["default", "a", "b", "shop-2", "x" * 63])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SERVICES = st.builds(
    lambda name, port, host, timeout: Service.from_json(
        name, {"addresses": [{"host": host, "port": port}], "requestTimeoutMs": timeout}
    ),
    NAMES,
    st.integers(1, 65535),
    st.sampled_from(["127.0.0.1", "::1", "app.internal"]),
    st.integers(0, 3_600_000),
)
IDENTITIES = st.builds(
    Identity,
    NAMES,
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.integers(1, 2**31 - 1),
    st.floats(0, 1e11),
)
NUMBERS = st.integers(0, len(AUTHORITIES) - 1)
CLIENT_AUTHS = st.builds(
    lambda domain, tenant, host, required, lookup, by, groups, ca, crl: ClientAuth(
        domain,
        tenant,
        host,
        required,
        lookup,
        tuple(by),
        groups,
        BUNDLES[ca].encode(),
        LISTS[ca].encode() if crl else None,
    ),
    UUIDS,
    UUIDS,
    TEXTS,
    st.booleans(),
    st.booleans(),
    st.lists(TEXTS, max_size=3),
    st.none() | TEXTS,
    NUMBERS,
    st.booleans(),
)
CONSUMERS = st.builds(Consumer, UUIDS, UUIDS, TEXTS, TEXTS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple))


def _grouped(consumers: list[Consumer]) -> dict[str, tuple[Consumer, ...]]:
    tenants = dict.fromkeys(each.tenant_id for each in consumers)
    return {tenant: tuple(each for each in consumers if each.tenant_id == tenant) for tenant in tenants}


EDGES = st.builds(
    lambda services, trust, identities, tenants, domains, auths, consumers, left_out, below: Edge(
        {one.name: one for one in services},
        {name: BUNDLES[number].encode() for name, number in trust.items()},
        {one.name: one for one in identities},
        tenants,
        domains,
        {one.domain_id: one for one in auths},
        _grouped(consumers),
        left_out,
        below,
    ),
    st.lists(SERVICES, max_size=3),
    st.dictionaries(NAMES, NUMBERS, max_size=3),
    st.lists(IDENTITIES, max_size=3),
    st.dictionaries(UUIDS, NAMES, max_size=3),
    st.dictionaries(UUIDS, NAMES, max_size=3),
    st.lists(CLIENT_AUTHS, max_size=3),
    st.lists(CONSUMERS, max_size=4, unique_by=lambda each: each.id),
    st.dictionaries(st.tuples(st.sampled_from([SERVICE, CLIENT_AUTH, CONSUMER]), UUIDS), TEXTS, max_size=2),
    st.dictionaries(UUIDS, st.lists(TEXTS, max_size=3).map(tuple), max_size=2),
)


def sample() -> Edge:
    """One of each."""
    tenant, domain = (str(UUID(int=number)) for number in (1, 2))
    return Edge(
        services={"default": Service.from_json("default", SPEC)},
        trust={"roots": BUNDLES[0].encode()},
        identities={"default": Identity("default", "ab" * 32, 3, SOON.timestamp())},
        by_tenant={tenant: "default"},
        by_domain={domain: "default"},
        client_auth={
            domain: ClientAuth(
                domain, tenant, "m.test", True, True, ("san",), None, BUNDLES[1].encode(), LISTS[1].encode()
            )
        },
        consumers={tenant: (Consumer(str(UUID(int=3)), tenant, "partner", "san", "p.test", ("a", "b")),)},
        left_out={(SERVICE, "broken"): "unknown_field: …"},
        below={domain: ("a.m.test", "b.m.test")},
    )


# --- its secrets, in a room of tests/scenes/secrets.py


def change(table: EdgeTable, **fields: Any) -> Edge:
    """As it is, but for these fields: what is the same stays the very same, as after a read."""
    edge = replace(table.current or Edge(), **fields)
    table.replace(edge)
    return edge


def client_auth(domain: str, ca_pem: str, crl_pem: str | None = None, hostname: str = "m.test") -> ClientAuth:
    tenant = str(UUID(int=1))
    crl = None if crl_pem is None else crl_pem.encode()
    return ClientAuth(domain, tenant, hostname, True, False, ("san",), None, ca_pem.encode(), crl)


def identity(name: str, certificate: Certificate, version: int) -> Identity:
    return Identity(name, certificate.fingerprint, version, certificate.not_after.timestamp())
