"""What the database itself refuses, whatever the code above it does: queries by hand as the API and as a sidecar."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from api.auth import Principal
from core.domain import Domain
from embedded.database import Database

Add = Callable[[Principal, str], Awaitable[Domain]]

RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind::text = ANY($1)"
TABLES = ["r", "p", "f"]
VIEWS = ["v", "m"]

# The rows of each table that a tenant may see as the API; a table that is not here it cannot read at all.
OWNER = {
    "tenants": "id",
    "custom_domains": "tenant_id",
    "certificates": "(SELECT tenant_id FROM custom_domains d WHERE d.id = domain_id)",
    "uploads": "(SELECT tenant_id FROM custom_domains d WHERE d.id = domain_id)",
    "upload_keys": "(SELECT tenant_id FROM custom_domains d WHERE d.id = domain_id)",
    "upload_attempts": "tenant_id",
    "client_auth": "(SELECT tenant_id FROM custom_domains d WHERE d.id = domain_id)",
    "consumers": "tenant_id",
    "client_auth_changes": "tenant_id",
    "audit": "tenant_id",
    "idempotency_keys": "tenant_id",
    "outbox": "tenant_id",
    "deliveries": "tenant_id",
}
SIDECAR_VIEWS = {
    "domains_v1",
    "tenants_v1",
    "challenges_v1",
    "changes_v1",
    "change_traces_v1",
    "feed_v1",
    "services_v1",
    "trust_v1",
    "identities_v1",
    "service_choices_v1",
    "client_auth_v1",
    "client_auth_below_v1",
    "consumers_v1",
}


@pytest.fixture
async def two_tenants(
    add: Add, caller: Principal, stranger: Principal, control: asyncpg.Connection[Any]
) -> dict[UUID, Domain]:
    """A row of each tenant in every table that has rows of tenants."""
    domains = {who.tenant_id: await add(who, f"{who.subject}.example.com") for who in (caller, stranger)}
    for tenant, domain in domains.items():
        await control.execute(
            """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
                   directory_url) VALUES ($1, 'ab', 'CA', repeat('f', 64), now(), now(), 1, 'x')""",
            domain.id,
        )
        await control.execute(
            """INSERT INTO uploads (domain_id, serial, issuer, fingerprint, not_before, not_after, names, vault_version)
               VALUES ($1, 'cd', 'CA', repeat('e', 64), now(), now(), '{}', 1)""",
            domain.id,
        )
        await control.execute("INSERT INTO upload_keys VALUES ($1, $1)", domain.id)
        await control.execute("INSERT INTO upload_attempts (tenant_id) VALUES ($1)", tenant)
        await control.execute(
            """INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, ca_until)
               VALUES ($1, 'required', true, '{san}', 'x', now())""",
            domain.id,
        )
        await control.execute("INSERT INTO client_auth_changes (tenant_id) VALUES ($1)", tenant)
        await control.execute(
            "INSERT INTO consumers (tenant_id, name, kind, value) VALUES ($1, 'a', 'san', 'dns:a.test')", tenant
        )
        await control.execute("INSERT INTO idempotency_keys VALUES ($1, 'k', '\\x00', '{}')", tenant)
        await control.execute("INSERT INTO challenges VALUES ($1, $2, 'a', now())", str(tenant), domain.id)
        await control.execute("INSERT INTO acme_orders (domain_id, directory_url) VALUES ($1, 'x')", domain.id)
        await control.execute(
            """WITH endpoint AS (INSERT INTO notification_endpoints (tenant_id, kind, address)
                   VALUES ($1, 'webhook', 'https://example.com') RETURNING id)
               INSERT INTO deliveries (endpoint_id, tenant_id, outbox_id, lane)
               SELECT endpoint.id, $1, outbox.id, $2 FROM endpoint, outbox WHERE outbox.domain_id = $2""",
            tenant,
            domain.id,
        )
    return domains


async def connect(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def sidecar(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    async for connection in connect(database.sidecar_dsn):
        yield connection


async def relations(connection: asyncpg.Connection[Any], kinds: list[str]) -> set[str]:
    rows = await connection.fetch(RELATIONS, kinds)
    return {row["relname"] for row in rows}


async def become(api: asyncpg.Connection[Any], tenant: UUID | str) -> None:
    await api.execute("SELECT set_config('app.current_tenant', $1, false)", str(tenant))


async def test_the_api_reads_only_the_rows_of_the_tenant_it_is_set_to(
    api: asyncpg.Connection[Any],
    caller: Principal,
    two_tenants: dict[UUID, Domain],
    superuser: asyncpg.Connection[Any],
) -> None:
    await become(api, caller.tenant_id)
    tables = await relations(superuser, TABLES)
    assert set(OWNER) < tables
    for table in sorted(tables):
        if table not in OWNER:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.fetch(f"SELECT * FROM {table}")
            continue
        owners = {row[0] for row in await superuser.fetch(f"SELECT {OWNER[table]} FROM {table}")}
        assert owners == set(two_tenants), f"{table} has no rows of both tenants to tell apart"
        seen = [row[0] for row in await api.fetch(f"SELECT {OWNER[table]} FROM {table}")]
        assert set(seen) == {caller.tenant_id}, table


async def test_the_api_reads_nothing_while_no_tenant_is_set(
    api: asyncpg.Connection[Any], two_tenants: dict[UUID, Domain]
) -> None:
    for table in OWNER:
        assert await api.fetch(f"SELECT * FROM {table}") == []
    await become(api, "")
    for table in OWNER:
        assert await api.fetch(f"SELECT * FROM {table}") == []


async def test_the_setting_ends_with_the_transaction(pool: asyncpg.Pool[Any], add: Add, caller: Principal) -> None:
    """As the API uses it, so that a connection goes back to the pool without a tenant."""
    await add(caller, "shop.example.com")
    async with pool.acquire() as connection:
        assert not await connection.fetchval("SELECT current_setting('app.current_tenant', true)")
        assert await connection.fetch("SELECT * FROM custom_domains") == []


async def test_the_api_reaches_another_tenants_rows_by_no_query(
    api: asyncpg.Connection[Any],
    caller: Principal,
    stranger: Principal,
    two_tenants: dict[UUID, Domain],
    superuser: asyncpg.Connection[Any],
) -> None:
    foreign = two_tenants[stranger.tenant_id]
    await become(api, caller.tenant_id)
    for query in (
        "SELECT * FROM custom_domains WHERE id = $1",
        "SELECT * FROM custom_domains WHERE id = $1 OR tenant_id <> current_setting('app.current_tenant')::uuid",
        "UPDATE custom_domains SET status = 'active' WHERE id = $1 RETURNING id",
        "SELECT * FROM certificates WHERE domain_id = $1",
        "SELECT * FROM client_auth WHERE domain_id = $1",
        "DELETE FROM client_auth WHERE domain_id = $1 RETURNING true",
        "UPDATE client_auth SET mode = 'optional' WHERE domain_id = $1 RETURNING true",
        "DELETE FROM consumers WHERE tenant_id <> current_setting('app.current_tenant')::uuid OR id = $1 RETURNING id",
        "SELECT * FROM audit WHERE domain_id = $1",
    ):
        assert await api.fetch(query, foreign.id) == [], query
    for statement in (
        "INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline) "
        "VALUES ($1, 'x.example.com', 't', now())",
        "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $1, 'x', 'x', 'x')",
        "INSERT INTO idempotency_keys (tenant_id, key, request_hash) VALUES ($1, 'k2', '')",
        "INSERT INTO consumers (tenant_id, name, kind, value) VALUES ($1, 'x', 'san', 'dns:x.test')",
        "INSERT INTO outbox (tenant_id, domain_id, event, payload) VALUES ($1, $1, 'x', '{}')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await api.execute(statement, stranger.tenant_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="not of this tenant"):
        await api.execute("SELECT request_job_v1($1, 'revoke')", foreign.id)
    await superuser.execute("UPDATE custom_domains SET status = 'active'")
    await superuser.execute("DELETE FROM jobs")
    await api.execute("SELECT request_certificate_v1($1)", foreign.id)
    assert await superuser.fetch("SELECT FROM jobs") == []


@pytest.mark.parametrize(
    ("table", "columns", "by"),
    [
        ("jobs", "domain_id uuid PRIMARY KEY, kind text, run_at timestamptz, attempts int, asked int", "request"),
        ("custom_domains", "id uuid, tenant_id uuid, status text", "foreign request"),
        ("changes", "kind text, key text", "deletion"),
    ],
)
async def test_a_temporary_table_does_not_stand_in_for_one_of_ours_in_what_runs_with_the_workers_rights(
    api: asyncpg.Connection[Any],
    superuser: asyncpg.Connection[Any],
    caller: Principal,
    stranger: Principal,
    two_tenants: dict[UUID, Domain],
    table: str,
    columns: str,
    by: str,
) -> None:
    mine, foreign = two_tenants[caller.tenant_id], two_tenants[stranger.tenant_id]
    await superuser.execute("UPDATE custom_domains SET status = 'active' WHERE id = $1", mine.id)
    await become(api, caller.tenant_id)
    await api.execute(f"""
        CREATE TEMP TABLE loot (hostname text);
        GRANT ALL ON loot TO PUBLIC;
        CREATE TEMP TABLE {table} ({columns});
        GRANT ALL ON {table} TO PUBLIC;
        CREATE FUNCTION pg_temp.steal() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO pg_temp.loot SELECT hostname FROM public.custom_domains; RETURN NEW; END $$;
        CREATE TRIGGER steal BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION pg_temp.steal()""")
    if by == "request":
        await api.execute("SELECT request_job_v1($1, 'verify')", mine.id)
    elif by == "deletion":
        await api.execute("UPDATE public.custom_domains SET deleted_at = now() WHERE id = $1", mine.id)
        assert await superuser.fetchval("SELECT count(*) FROM changes WHERE key = $1", mine.hostname) == 2
    else:
        await api.execute(
            "INSERT INTO pg_temp.custom_domains (id, tenant_id) VALUES ($1, $2)", foreign.id, caller.tenant_id
        )
        await api.execute("TRUNCATE loot")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="not of this tenant"):
            await api.execute("SELECT request_job_v1($1, 'revoke')", foreign.id)
    assert await api.fetch("SELECT * FROM loot") == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM custom_domains",
        "DELETE FROM audit",
        "UPDATE audit SET actor = 'x'",
        "UPDATE custom_domains SET tenant_id = tenant_id",
        "UPDATE custom_domains SET hostname = 'x.example.com'",
        "UPDATE custom_domains SET certificate_id = NULL",
        "UPDATE tenants SET max_domains = 1000",
        "UPDATE custom_domains SET cert_expiry = now()",
        "UPDATE custom_domains SET created_at = now() - interval '2 days'",
        "SELECT * FROM notification_endpoints",
        "UPDATE idempotency_keys SET request_hash = ''",
        "INSERT INTO jobs (domain_id, kind) VALUES (gen_random_uuid(), 'obtain')",
        "INSERT INTO changes (kind, key) VALUES ('domain', 'x')",
        "SET ROLE nameplate_control",
        "ALTER TABLE custom_domains DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE mine ()",
    ],
)
async def test_the_api_may_not(
    api: asyncpg.Connection[Any], caller: Principal, two_tenants: dict[UUID, Domain], statement: str
) -> None:
    await become(api, caller.tenant_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute(statement)


async def test_row_security_is_forced_on_every_table_with_data(superuser: asyncpg.Connection[Any]) -> None:
    rows = await superuser.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND NOT (relrowsecurity AND relforcerowsecurity)"""
    )
    assert {row["relname"] for row in rows} == {"schema_migrations"}


async def test_a_sidecar_reads_its_views_and_nothing_else(
    sidecar: asyncpg.Connection[Any], two_tenants: dict[UUID, Domain], superuser: asyncpg.Connection[Any]
) -> None:
    tables, views = await relations(superuser, TABLES), await relations(superuser, VIEWS)
    assert views >= SIDECAR_VIEWS
    for relation in sorted(tables | views):
        if relation in SIDECAR_VIEWS:
            await sidecar.fetch(f"SELECT * FROM {relation}")
        elif relation.startswith("pg_stat_statements"):
            continue  # of the test server
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await sidecar.fetch(f"SELECT * FROM {relation}")
    columns = await superuser.fetch(
        """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f') AND a.attnum > 0
             AND has_column_privilege('nameplate_sidecar', c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES')"""
    )
    assert columns == []


async def test_a_sidecar_writes_nothing(
    sidecar: asyncpg.Connection[Any], two_tenants: dict[UUID, Domain], superuser: asyncpg.Connection[Any]
) -> None:
    # A view of several tables is refused before its privileges are looked at.
    refused = (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)
    for relation in sorted(await relations(superuser, TABLES) | SIDECAR_VIEWS):
        for statement in (f"DELETE FROM {relation}", f"INSERT INTO {relation} DEFAULT VALUES"):
            with pytest.raises(refused):
                await sidecar.execute(statement)
    domain = next(iter(two_tenants.values()))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sidecar.execute("SELECT request_job_v1($1, 'revoke')", domain.id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sidecar.execute("CREATE TABLE mine ()")


async def test_row_security_binds_the_owner_of_the_tables_too(
    database: Database, two_tenants: dict[UUID, Domain]
) -> None:
    async for owner in connect(database.owner_dsn):
        for table in OWNER:
            assert await owner.fetch(f"SELECT * FROM {table}") == [], table
