"""What holds below the API: turns, foreign keys, the feed's rows, the audit's chain, and who may not."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes.hierarchy import Hierarchy, issue

from api.admin.upstreams import InUse, UnknownReference, Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from api.service import Unavailable
from control.audit.verify import verify
from control.services import parts
from control.services.transactions import PLATFORM
from control.vault import Vault
from core.certificate import Certificate
from core.service import Address, Service, UpstreamTls
from core.trust import TrustBundle
from embedded.database import Database

BUNDLE = TrustBundle.parse(issue("Root", ca=True).pem)
PLAIN = Service("shop", (Address("10.0.0.7", 8080),))
TRUSTING = Service(
    "shop", (Address("10.0.0.7", 443),), tls=UpstreamTls("a.internal", ("a.internal",), trust="internal")
)
TABLES = ("services", "trust", "identities", "service_choices", "expiry_warnings")
VIEWS = ("services_v1", "trust_v1", "identities_v1", "service_choices_v1")


async def test_a_bundle_is_removed_or_named_but_never_both(pool: Any, upstreams: Upstreams, root: Operator) -> None:
    for _ in range(5):
        await upstreams.trust.put(root, "internal", BUNDLE, ALWAYS)
        named, removed = await asyncio.gather(
            upstreams.services.put(root, TRUSTING, ALWAYS),
            upstreams.trust.delete(root, "internal", ALWAYS),
            return_exceptions=True,
        )
        assert isinstance(named, UnknownReference) != isinstance(removed, InUse)
        assert await pool.fetchval("SELECT count(*) FROM services") == await pool.fetchval("SELECT count(*) FROM trust")
        await pool.execute("DELETE FROM services")


async def test_the_database_itself_keeps_what_is_referred_to(pool: Any, upstreams: Upstreams, root: Operator) -> None:
    made = Hierarchy.of("edge.platform.io")
    await upstreams.trust.put(root, "internal", BUNDLE, ALWAYS)
    pair = Certificate.parse(made.chain, made.leaf.key_pem)
    await upstreams.identities.put(root, "edge", pair, ALWAYS)
    tls = UpstreamTls("a.internal", ("a.internal",), "internal", "edge")
    await upstreams.services.put(root, Service("shop", PLAIN.addresses, tls=tls), ALWAYS)
    tenant = await pool.fetchval("INSERT INTO tenants (slug) VALUES ('shop') RETURNING id")
    await upstreams.choices.put_tenant(root, tenant, "shop")
    for statement in (
        "DELETE FROM trust",
        "DELETE FROM identities",
        "DELETE FROM services",
        "UPDATE services SET name = 'other'",
        """UPDATE services SET spec = jsonb_set(spec, '{tls,trust}', '"nope"')""",
        """UPDATE services SET spec = jsonb_set(spec, '{tls,identity}', '"nope"')""",
    ):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await pool.execute(statement)
    await pool.execute("""UPDATE services SET spec = jsonb_set(spec, '{tls,trust}', '"system"')""")
    await pool.execute("DELETE FROM trust")
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("INSERT INTO trust (name, pem) VALUES ('system', '')")
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE identities SET serial = NULL")
    await pool.execute("DELETE FROM tenants")
    assert await pool.fetchval("SELECT count(*) FROM service_choices") == 0


async def test_domains_come_and_go_without_a_change_of_the_edge(pool: Any, add_domain: Any) -> None:
    """However many rows refer to them; only a choice that goes with its domain is one."""
    domain = await add_domain("a.example.com", job=None)
    tenant = await pool.fetchval("SELECT tenant_id FROM custom_domains")
    await pool.execute("DELETE FROM custom_domains")
    assert await pool.fetchval("SELECT count(*) FROM changes WHERE kind = 'edge'") == 0
    domain = await add_domain("b.example.com", job=None)
    tenant = await pool.fetchval("SELECT tenant_id FROM custom_domains")
    await pool.execute("INSERT INTO services (name, spec) VALUES ('shop', '{}')")
    await pool.execute("INSERT INTO service_choices VALUES ($1, $2, 'shop')", tenant, domain)
    before = await pool.fetchval("SELECT count(*) FROM changes WHERE kind = 'edge'")
    await pool.execute("DELETE FROM custom_domains")
    assert await pool.fetchval("SELECT count(*) FROM changes WHERE kind = 'edge'") == before + 1


async def test_what_operators_do_is_a_whole_chain_of_its_own(pool: Any, upstreams: Upstreams, root: Operator) -> None:
    await upstreams.trust.put(root, "internal", BUNDLE, ALWAYS)
    await upstreams.services.put(root, TRUSTING, ALWAYS)
    await upstreams.services.put(Operator("eve@platform"), PLAIN, ALWAYS)
    await upstreams.services.delete(root, "shop", ALWAYS)
    await upstreams.trust.delete(root, "internal", ALWAYS)
    rows = await pool.fetch("SELECT actor, action, detail FROM audit WHERE tenant_id = $1 ORDER BY id", PLATFORM)
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("operator:root@platform", "trust_put"),
        ("operator:root@platform", "service_put"),
        ("operator:eve@platform", "service_put"),
        ("operator:root@platform", "service_delete"),
        ("operator:root@platform", "trust_delete"),
    ]
    assert json.loads(rows[2]["detail"])["spec"] == PLAIN.to_json()
    async with pool.acquire() as connection:
        report = await verify(connection, None, PLATFORM)
    assert (report.rows, report.tenants, report.findings) == (5, 1, [])


async def test_tenants_and_sidecars_may_not_touch_it(database: Database) -> None:
    for role in (database.api_dsn, database.sidecar_dsn):
        connection = await asyncpg.connect(role)
        try:
            for table in TABLES:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SELECT * FROM {table}")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"DELETE FROM {table}")
        finally:
            await connection.close()
    sidecar, api = await asyncpg.connect(database.sidecar_dsn), await asyncpg.connect(database.api_dsn)
    try:
        for view in VIEWS:
            assert await sidecar.fetch(f"SELECT * FROM {view}") == []
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.fetch(f"SELECT * FROM {view}")
    finally:
        await sidecar.close()
        await api.close()


async def test_without_the_database_it_is_unavailable(vault: Vault, root: Operator) -> None:
    async with asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0, max_size=1) as nowhere:
        away = parts.upstreams(nowhere, vault)
        with pytest.raises(Unavailable):
            await away.services.all(root)
        with pytest.raises(Unavailable):
            await away.services.put(root, PLAIN, ALWAYS)


async def test_two_that_choose_at_once_leave_one_choice(pool: Any, upstreams: Upstreams, root: Operator) -> None:
    tenant: UUID = await pool.fetchval("INSERT INTO tenants (slug) VALUES ('shop') RETURNING id")
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await upstreams.services.put(root, Service(name, PLAIN.addresses), ALWAYS)
    await asyncio.gather(*(upstreams.choices.put_tenant(root, tenant, name) for name in names))
    chosen = await upstreams.choices.of_tenant(root, tenant)
    rows = await pool.fetch("SELECT service FROM service_choices")
    assert [row["service"] for row in rows] == [chosen.service]
    details = [
        json.loads(text["detail"])
        for text in await pool.fetch("SELECT detail FROM audit WHERE action = 'choice_put' ORDER BY id")
    ]
    assert [one["before"] for one in details] == [None, *(one["service"] for one in details[:-1])]
