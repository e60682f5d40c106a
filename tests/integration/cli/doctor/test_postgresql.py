"""What the doctor finds wrong with PostgreSQL: roles, rights, row level security, migrations, a pooler in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scenes import doctored
from scenes.doctored import codes, one

from embedded.database import Database
from embedded.debian import ensure
from embedded.pgbouncer import PgBouncer

Environment = dict[str, str]
WORKERS, API = "PostgreSQL, as the workers", "PostgreSQL, as the tenants' API"


async def test_a_server_that_is_away_is_found_for_each_role(environment: Environment) -> None:
    nowhere = "postgresql://nameplate_control:hunter2@127.0.0.1:1/none?sslmode=disable"
    environment |= {"NAMEPLATE_CONTROL_DATABASE_URL": nowhere, "NAMEPLATE_API_DATABASE_URL": nowhere}
    findings = await doctored.control(environment, WORKERS, API, "LISTEN")
    assert [finding.code for finding in findings] == ["postgresql_unreachable"] * 3
    assert findings[0].mend.startswith("check NAMEPLATE_CONTROL_DATABASE_URL and its password")
    assert findings[1].mend.startswith("check NAMEPLATE_API_DATABASE_URL")
    assert "hunter2" not in str(findings)


async def test_a_password_s_file_and_certificates_that_cannot_be_used_are_named(
    environment: Environment, tmp_path: Path
) -> None:
    environment["NAMEPLATE_CONTROL_DATABASE_PASSWORD_FILE"] = str(tmp_path / "none")
    (tmp_path / "password").write_text("hunter2")
    environment["NAMEPLATE_API_DATABASE_URL"] = environment["NAMEPLATE_API_DATABASE_URL"].replace(
        "sslmode=disable", f"sslmode=verify-full&sslrootcert={tmp_path}/password"
    )
    findings = await doctored.control(environment, API)
    assert one(findings, "postgresql_unreachable").seen.startswith("TLS failed: no certificate")
    assert "hunter2" not in str(findings)


async def test_the_wrong_roles_are_found(environment: Environment, database: Database) -> None:
    environment |= {
        "NAMEPLATE_CONTROL_DATABASE_URL": database.api_dsn,
        "NAMEPLATE_API_DATABASE_URL": database.superuser_dsn,
    }
    findings = await doctored.control(environment, WORKERS, API)
    assert [(finding.code, finding.seen, finding.mend) for finding in findings] == [
        (
            "postgresql_wrong_role",
            "connected as nameplate_api",
            "connect as nameplate_control: NAMEPLATE_CONTROL_DATABASE_URL",
        ),
        (
            "postgresql_wrong_role",
            "connected as postgres",
            "connect as nameplate_api: NAMEPLATE_API_DATABASE_URL",
        ),
    ], "and nothing that the other role might"


async def test_a_role_that_might_more_than_it_needs_is_found(environment: Environment, superuser: Any) -> None:
    await superuser.execute("ALTER ROLE nameplate_control CREATEDB")  # of the whole server, so not for long
    try:
        mighty = one(await doctored.control(environment, WORKERS), "postgresql_role_mighty")
    finally:
        await superuser.execute("ALTER ROLE nameplate_control NOCREATEDB")
    assert mighty.seen == "nameplate_control is CREATEDB"
    assert "NOSUPERUSER NOBYPASSRLS" in mighty.mend


async def test_an_api_that_would_see_every_tenant_is_found(environment: Environment, superuser: Any) -> None:
    await superuser.execute(
        "INSERT INTO tenants (id, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'acme');"
        "INSERT INTO custom_domains (id, tenant_id, hostname, verification_token, status, ssl_status, verify_deadline)"
        " VALUES (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'shop.test', 't', 'verified',"
        " 'validating', now())"
    )
    await superuser.execute("CREATE POLICY open ON custom_domains FOR SELECT TO nameplate_api USING (true)")
    findings = await doctored.control(environment, API)
    assert one(findings, "tenants_not_apart").mend == "connect as nameplate_api: NAMEPLATE_API_DATABASE_URL"


async def test_a_table_without_forced_row_level_security_and_rights_that_are_not_as_migrated_are_found(
    environment: Environment, superuser: Any
) -> None:
    await superuser.execute("ALTER TABLE uploads NO FORCE ROW LEVEL SECURITY")
    await superuser.execute("CREATE TABLE notes (tenant_id uuid, note text)")
    await superuser.execute("REVOKE SELECT ON outbox FROM nameplate_control")
    await superuser.execute("GRANT TRUNCATE ON audit TO nameplate_api")
    findings = await doctored.control(environment, WORKERS, API)
    mends = {finding.mend for finding in findings if finding.code}
    assert {
        "psql -c 'ALTER TABLE uploads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'",
        "psql -c 'ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'",
        "psql -c 'GRANT SELECT ON outbox TO nameplate_control'",
        "psql -c 'REVOKE TRUNCATE ON audit FROM nameplate_api'",
    } <= mends
    assert codes(findings) == {"rls_not_forced", "postgresql_right_missing", "postgresql_right_excess"}
    for mend in mends:  # they mend it
        await superuser.execute(mend.removeprefix("psql -c '").removesuffix("'"))
    await superuser.execute("DROP TABLE notes")
    assert codes(await doctored.control(environment, WORKERS, API)) == set()


async def test_migrations_that_are_missing_changed_or_newer_are_found(environment: Environment, superuser: Any) -> None:
    last = await superuser.fetchval("DELETE FROM schema_migrations WHERE version = 20 RETURNING checksum")
    findings = await doctored.control(environment, WORKERS)
    assert one(findings, "migrations_missing").mend.endswith("nameplate migrate")
    await superuser.execute("INSERT INTO schema_migrations VALUES (20, 'x', 'other'), (9999, 'newer', 'x')")
    assert "newer one" in one(await doctored.control(environment, WORKERS), "migrations_other").mend
    assert last


async def test_a_database_that_was_never_migrated_is_found(
    environment: Environment, database: Database, number: int
) -> None:
    name = f"bare{number}"
    await database.postgres.create_database(name)
    environment["NAMEPLATE_CONTROL_DATABASE_URL"] = database.postgres.dsn(name, "nameplate_control")
    findings = await doctored.control(environment, WORKERS)
    assert one(findings, "migrations_missing").seen == "the database was never migrated"
    await database.postgres.drop_database(name)


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_pooler_in_the_way_of_the_listener_is_found_and_one_in_session_mode_is_not_in_the_way(
    environment: Environment, database: Database, state_dir: Path, mode: Any
) -> None:
    ensure("pgbouncer")
    async with PgBouncer.start(state_dir, database.postgres, mode=mode) as pooler:
        direct = environment["NAMEPLATE_CONTROL_DATABASE_URL"]
        environment |= {
            "NAMEPLATE_CONTROL_DATABASE_URL": pooler.dsn(database.name, "nameplate_control"),
            "NAMEPLATE_API_DATABASE_URL": pooler.dsn(database.name, "nameplate_api"),
        }
        (said,) = await doctored.control(environment, "LISTEN")
        if mode == "session":
            assert said.seen == "hears, through a pooler in session mode"
            return
        assert said.code == "listener_behind_pooler"
        assert said.mend == "set NAMEPLATE_CONTROL_LISTEN_DATABASE_URL to PostgreSQL's own address"
        environment["NAMEPLATE_CONTROL_LISTEN_DATABASE_URL"] = direct
        findings = await doctored.control(environment, WORKERS, API, "LISTEN", "clock")
        assert codes(findings) == set()
        assert {finding.check: finding.seen for finding in findings}["LISTEN"] == "hears beside a pooler"
