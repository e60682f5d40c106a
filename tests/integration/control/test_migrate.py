from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from control.db import migrate as migrations
from control.db.migrate import MigrationError, available, migrate, pending
from embedded.database import OWNER, Database
from embedded.postgres import Postgres


async def test_a_second_run_changes_nothing(database: Database) -> None:
    assert await migrate(database.owner_dsn) == []


async def test_runs_at_the_same_time_apply_each_migration_once(
    postgres: Postgres, number: int, database: Database
) -> None:
    await postgres.create_database(f"race{number}", owner=OWNER)
    dsn = postgres.dsn(f"race{number}", OWNER)
    try:
        done = await asyncio.gather(*(migrate(dsn) for _ in range(4)))
        assert sorted(one.version for applied in done for one in applied) == [one.version for one in available()]
    finally:
        await postgres.drop_database(f"race{number}")


async def test_a_migration_that_was_changed_afterwards_is_refused(database: Database) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        await owner.execute("UPDATE schema_migrations SET checksum = 'other' WHERE version = 2")
    finally:
        await owner.close()
    with pytest.raises(MigrationError) as refused:
        await migrate(database.owner_dsn)
    assert refused.value.code == "migration_changed"


def test_a_database_newer_than_this_release_is_refused() -> None:
    with pytest.raises(MigrationError) as refused:
        pending({9999: "checksum"}, available())
    assert refused.value.code == "migration_missing"


async def test_a_failing_migration_leaves_nothing_of_its_own_behind_and_those_before_it_were_told(
    postgres: Postgres, number: int, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[migrations.Migration] = []
    broken = [*available(), migrations.Migration(9999, "broken", "CREATE TABLE half (); SELECT 1/0;")]
    monkeypatch.setattr(migrations, "available", lambda: broken)
    await postgres.create_database(f"broken{number}", owner=OWNER)
    try:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(postgres.dsn(f"broken{number}", OWNER), told.append)
        assert told == available()
        connection = await asyncpg.connect(postgres.dsn(f"broken{number}"))
        try:
            assert await connection.fetchval("SELECT to_regclass('half')") is None
            assert await connection.fetchval("SELECT max(version) FROM schema_migrations") == available()[-1].version
        finally:
            await connection.close()
    finally:
        await postgres.drop_database(f"broken{number}")


async def test_it_gives_way_to_work_that_holds_the_tables_in_another_order_and_is_done_after_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker: its job, then the domain. In one transaction with the file before, neither could go on."""
    taking = [
        migrations.Migration(9998, "domains", "ALTER TABLE custom_domains ADD COLUMN one INT"),
        migrations.Migration(
            9999, "both", "ALTER TABLE custom_domains ADD COLUMN two INT; ALTER TABLE jobs ADD two INT"
        ),
    ]
    every = [*available(), *taking]
    monkeypatch.setattr(migrations, "available", lambda: every)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(migrations, "PAUSE", 0.05)
    worker = await asyncpg.connect(database.control_dsn)
    try:
        held = worker.transaction()
        await held.start()
        await worker.execute("SELECT FROM jobs FOR UPDATE")
        migrating = asyncio.create_task(migrate(database.owner_dsn))
        await worker.execute("SELECT pg_sleep(0.3)")
        await worker.execute("SELECT FROM custom_domains FOR UPDATE")
        await held.commit()
        assert [one.version for one in await migrating] == [9998, 9999]
    finally:
        await worker.close()


async def test_certificates_that_were_there_before_are_renewed_and_looked_at_too(
    postgres: Postgres, number: int, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release before the lifecycle had six migrations; the owner that migrates is no superuser."""
    name, every = f"upgraded{number}", available()
    await postgres.create_database(name, owner=OWNER)
    try:
        with monkeypatch.context() as before:
            before.setattr(migrations, "available", lambda: every[:6])
            assert len(await migrate(postgres.dsn(name, OWNER))) == 6
        connection = await asyncpg.connect(postgres.dsn(name))
        try:
            await connection.execute(BEFORE)
            assert len(await migrate(postgres.dsn(name, OWNER))) == len(every) - 6
            row = await connection.fetchrow("SELECT * FROM custom_domains")
            assert row["cert_expiry"] - timedelta(days=31) < row["renew_at"] < row["cert_expiry"] - timedelta(days=29)
            assert row["look_at"] is not None
            assert row["renewal_info_at"] is not None
            assert await connection.fetchval("SELECT target_label FROM tenants")
        finally:
            await connection.close()
    finally:
        await postgres.drop_database(name)


BEFORE = """
    INSERT INTO tenants (slug) VALUES ('acme');
    INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status,
                                cert_expiry)
        SELECT id, 'shop.test', 'token', now(), 'active', 'issued', now() + interval '80 days' FROM tenants;
    INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
                              directory_url)
        SELECT id, '0a', 'CN=test', repeat('0a', 32), cert_expiry - interval '90 days', cert_expiry, 1,
            'https://ca.test/directory' FROM custom_domains;
    UPDATE custom_domains SET certificate_id = (SELECT id FROM certificates);
"""
