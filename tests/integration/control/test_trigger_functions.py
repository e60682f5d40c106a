"""What runs with the workers' rights serves nobody who may not have them: a temporary table can be of any shape."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from embedded.database import OWNER, Database

FOR_ALL = """SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
    AND has_function_privilege('nobody_else', p.oid, 'EXECUTE')"""
PATHS = """SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
    AND NOT 'search_path=public, pg_temp' = ANY(coalesce(p.proconfig, '{}'))"""
SHAPE = """CREATE TEMPORARY TABLE mine (id UUID, hostname TEXT, tenant_id UUID, status TEXT, deleted_at TIMESTAMPTZ,
    certificate_id UUID)"""
GUARDS = """SELECT DISTINCT p.proname, pg_get_userbyid(p.proowner) AS owner
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgname IN ('append_only', 'moves_on') AND t.tgenabled = 'A'"""
TIE = "CREATE TRIGGER feed AFTER DELETE ON mine FOR EACH ROW EXECUTE FUNCTION public.record_domain_change()"


async def test_no_function_with_the_workers_rights_is_everybodys(database: Database) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("CREATE ROLE nobody_else")  # roles are the cluster's: rolled back
        assert [row[0] for row in await superuser.fetch(FOR_ALL)] == []
        assert [row[0] for row in await superuser.fetch(PATHS)] == []
    finally:
        await transaction.rollback()
        await superuser.close()


@pytest.mark.parametrize("role", ["api", "sidecar"])
async def test_nobody_writes_the_feed_by_a_table_of_his_own(database: Database, role: str) -> None:
    connection = await asyncpg.connect(getattr(database, f"{role}_dsn"))
    try:
        await connection.execute(SHAPE)
        await connection.execute(
            "INSERT INTO mine (id, hostname, status) VALUES ($1, 'a.example.com', 'active')", uuid4()
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(TIE)
    finally:
        await connection.close()


async def test_the_workers_cannot_drop_the_guards_of_the_audit(database: Database) -> None:
    """Whoever owns a trigger's function can drop both, whosesoever the table is."""
    connection = await asyncpg.connect(database.control_dsn)
    try:
        guards = dict(await connection.fetch(GUARDS))
        assert guards == {"keep_audit": OWNER, "keep_audit_head": OWNER}
        for function in guards:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DROP FUNCTION {function}() CASCADE")
    finally:
        await connection.close()
