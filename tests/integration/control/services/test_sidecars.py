"""What the admin writes, sidecars read as it was meant, and leave nothing of it out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes.hierarchy import Hierarchy, issue

from api.admin.upstreams import LimitReached, Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from control.services import identities as identities_module
from control.services import services as services_module
from control.services import trust as trust_module
from core.certificate import Certificate
from core.service import Address, CircuitBreaker, HealthCheck, Service, UpstreamTls
from core.trust import TrustBundle
from embedded.database import Database
from sidecar.edge.model import Edge
from sidecar.edge.reader import QUERIES
from sidecar.edge.rows import TABLES, build

PAIR = Hierarchy.of("edge.platform.io")
CERTIFICATE = Certificate.parse(PAIR.chain, PAIR.leaf.key_pem)
BUNDLE = TrustBundle.parse(issue("Root", ca=True).pem)
PLAIN = Service("default", (Address("2001:db8::7", 8080),))
WHOLE = Service(
    "shop",
    (Address("a.internal", 443), Address("b.internal.", 8443)),
    protocol="http2",
    connect_timeout_ms=10,
    request_timeout_ms=3_600_000,
    idle_timeout_ms=100,
    max_connection_duration_ms=86_400_000,
    health_check=HealthCheck("/up?deep=1", 100, 10, 20, 1),
    circuit_breaker=CircuitBreaker(1, 1_000_000, 7, 0),
    tls=UpstreamTls("a.internal", ("*.internal.example", "10.0.0.7", "spiffe://Platform/Shop"), "internal", "edge"),
)


async def read(database: Database) -> Edge:
    connection = await asyncpg.connect(database.sidecar_dsn)
    try:
        rows = [
            (name, list(row))
            for name, table in TABLES.items()
            for row in await connection.fetch(QUERIES[name], table.limit)
        ]
    finally:
        await connection.close()
    return build(rows)


async def test_sidecars_read_what_the_admin_writes(
    database: Database, pool: Any, upstreams: Upstreams, root: Operator, add_domain: Any
) -> None:
    domain: UUID = await add_domain("shop.example.com", job=None)
    tenant: UUID = await pool.fetchval("SELECT tenant_id FROM custom_domains WHERE id = $1", domain)
    await upstreams.trust.put(root, "internal", BUNDLE, ALWAYS)
    await upstreams.identities.put(root, "edge", CERTIFICATE, ALWAYS)
    for service in (PLAIN, WHOLE):
        await upstreams.services.put(root, service, ALWAYS)
    await upstreams.choices.put_tenant(root, tenant, "default")
    await upstreams.choices.put_domain(root, domain, "shop")

    edge = await read(database)
    assert edge.left_out == {}
    assert edge.services == {"default": PLAIN, "shop": WHOLE}
    assert edge.trust == {"internal": BUNDLE.pem.encode()}
    identity = edge.identities["edge"]
    assert (identity.fingerprint, identity.vault_version) == (CERTIFICATE.fingerprint, 1)
    assert identity.not_after == CERTIFICATE.not_after.timestamp()
    assert edge.service_of(str(tenant), str(domain)) == "shop"
    assert edge.service_of(str(tenant), str(UUID(int=1))) == "default"

    await upstreams.choices.delete_domain(root, domain)
    await upstreams.services.delete(root, "shop", ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    edge = await read(database)
    assert (edge.left_out, edge.identities, set(edge.services)) == ({}, {}, {"default"})


async def test_there_are_never_more_than_sidecars_hold(
    upstreams: Upstreams, root: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"services": services_module, "trust": trust_module, "identities": identities_module}
    for name, module in modules.items():
        assert TABLES[name].limit >= module.LIMIT
        monkeypatch.setattr(module, "LIMIT", 1)
    for _ in range(2):  # what is there can be replaced
        await upstreams.services.put(root, PLAIN, ALWAYS)
        await upstreams.trust.put(root, "internal", BUNDLE, ALWAYS)
        await upstreams.identities.put(root, "edge", CERTIFICATE, ALWAYS)
    with pytest.raises(LimitReached):
        await upstreams.services.put(root, Service("other", PLAIN.addresses), ALWAYS)
    with pytest.raises(LimitReached):
        await upstreams.trust.put(root, "other", BUNDLE, ALWAYS)
    with pytest.raises(LimitReached):
        await upstreams.identities.put(root, "other", CERTIFICATE, ALWAYS)
