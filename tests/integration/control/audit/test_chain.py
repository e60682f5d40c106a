"""How the audit log is written: sealed at commit, in order, by many at once, and never changed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from control.audit.verify import verify
from control.db import migrate as migrations
from control.db.migrate import available
from control.domains.transition import apply
from embedded.database import OWNER, Database

A, B, C = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
INSERT = "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $1, 'x', 'x', $2)"


CHANGES = (
    "UPDATE audit SET actor = 'x'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "DELETE FROM audit WHERE false",
    "UPDATE audit_seals SET seq = seq + 1",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals",
    "DELETE FROM audit_heads",
    "TRUNCATE audit_heads",
    "UPDATE audit_heads SET seq = seq - 1",
    "UPDATE audit_heads SET hash = sha256('x')",
    "UPDATE audit_heads SET anchored = anchored + 100",
    "UPDATE audit_checkpoints SET heads = '{}'",
    "DELETE FROM audit_checkpoints",
    "TRUNCATE audit_checkpoints",
)


@pytest.mark.parametrize("role", ["owner", "superuser", "control", "api"])
async def test_nobody_may_change_it(log, database, role: str) -> None:
    connection = await asyncpg.connect(getattr(database, f"{role}_dsn"))
    try:
        if role == "superuser":
            await connection.execute("SET session_replication_role = replica")
        for statement in CHANGES:
            # Row level security hides the heads from the owner of the table: there is nothing to be changed.
            if (role, statement.split()[:2]) != ("owner", ["UPDATE", "audit_heads"]):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
    finally:
        await connection.close()
    assert (await log.verify()).findings == []


async def test_a_row_is_sealed_when_its_transaction_commits_and_not_when_it_is_rolled_back(log) -> None:
    async with log.pool.acquire() as connection:
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute(INSERT, C, "lost")
                raise ZeroDivisionError
        async with connection.transaction():
            await connection.execute(INSERT, C, "kept")
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute(INSERT, C, "lost")
                    raise ZeroDivisionError
            async with connection.transaction():
                await connection.execute(INSERT, C, "kept too")
            assert await connection.fetchval("SELECT count(*) FROM audit_seals WHERE tenant_id = $1", C) == 0
    rows = await log.pool.fetch(
        "SELECT seq, action FROM audit_seals s JOIN audit a ON a.id = s.audit_id WHERE s.tenant_id = $1 ORDER BY seq", C
    )
    assert [tuple(row) for row in rows] == [(1, "kept"), (2, "kept too")]
    assert (await log.verify()).findings == []


async def test_a_transition_is_sealed_in_its_transaction(log, add_domain) -> None:
    domain_id = await add_domain("a.example")
    async with log.pool.acquire() as connection, connection.transaction():
        await apply(connection, domain_id, "record_found", "control:test")
    assert await log.pool.fetchval(
        "SELECT count(*) FROM audit_seals s JOIN audit a ON a.id = s.audit_id WHERE a.domain_id = $1", domain_id
    )
    assert (await log.verify()).findings == []


async def test_the_tenants_api_writes_to_the_chain_and_cannot_read_it(log, database) -> None:
    api = await asyncpg.connect(database.api_dsn)
    try:
        async with api.transaction():
            await api.execute("SELECT set_config('app.current_tenant', $1, true)", str(C))
            await api.execute(INSERT, C, "add")
        for table in ("audit_seals", "audit_heads", "audit_checkpoints"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.fetch(f"SELECT * FROM {table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute("SELECT seal_audit_rows(0, '1')")
    finally:
        await api.close()
    assert (await log.verify(C)).rows == 1
    assert (await log.verify()).findings == []


async def test_many_at_once_make_whole_chains_and_no_deadlock(log, database) -> None:
    """Each transaction writes rows of three tenants, in another order than its neighbours."""
    tenants = [uuid4() for _ in range(3)]

    async def write(number: int) -> None:
        connection = await asyncpg.connect(database.control_dsn)
        try:
            for turn in range(10):
                async with connection.transaction():
                    for place in range(3):
                        await connection.execute(INSERT, tenants[(place * (1 + number % 2) + turn) % 3], f"{number}")
        finally:
            await connection.close()

    async def anchor() -> None:
        for _ in range(10):
            await log.anchoring.anchor()

    await asyncio.gather(*(write(number) for number in range(8)), anchor())
    report = await log.verify()
    assert report.findings == []
    assert report.rows == 11 + 8 * 10 * 3


async def test_two_tenants_do_not_wait_for_each_other(log) -> None:
    async with log.pool.acquire() as one, log.pool.acquire() as other, one.transaction():
        await one.execute(INSERT, A, "slow")
        await one.execute("SET CONSTRAINTS ALL IMMEDIATE")  # holds the head of A
        async with asyncio.timeout(5):
            await other.execute(INSERT, B, "quick")
    assert (await log.verify()).findings == []


async def test_what_is_written_while_it_is_verified_is_no_finding(log) -> None:
    """The anchor is older than the database, as it always may be."""
    anchor = await log.anchor()
    await log.write(A, "later")
    await log.anchoring._make()
    await log.write(B, "later still")
    async with log.pool.acquire() as connection:
        assert (await verify(connection, anchor)).findings == []


async def test_rows_from_before_there_was_a_chain_are_sealed_by_the_migration(
    postgres, number: int, database, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = available()
    await postgres.create_database(f"older{number}", owner=OWNER)
    older = Database(postgres, f"older{number}")
    try:
        monkeypatch.setattr(migrations, "available", lambda: [one for one in everything if one.version < 11])
        await migrations.migrate(older.owner_dsn)
        connection = await asyncpg.connect(older.control_dsn)
        for tenant, action in ((A, "add"), (B, "add"), (A, "verify")):
            await connection.execute(INSERT, tenant, action)
        monkeypatch.setattr(migrations, "available", lambda: everything)
        await migrations.migrate(older.owner_dsn)
        await connection.execute(INSERT, A, "activate")
        report = await verify(connection, None)
        await connection.close()
        assert (report.rows, report.tenants, report.findings) == (4, 2, [])
    finally:
        await postgres.drop_database(f"older{number}")


@pytest.mark.parametrize("value", ["", "ü", "a,b", "1:a,", "\\x00", "🙂" * 300, "'; --", "\n\t\r"])
async def test_any_text_is_hashed_alike_by_postgresql_and_by_the_verifier(kept, value: str) -> None:
    detail = json.dumps({value: [value, 1.10, 1e30, True, None, {"a": {}}], "n": 0.1})
    at = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    async with kept.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """INSERT INTO audit (at, tenant_id, domain_id, hostname, actor, action, detail)
               VALUES ($1, $2, $2, $3, $3, $3, $4)""",
            at,
            uuid4(),
            value,
            detail,
        )
    assert (await kept.verify()).findings == []
