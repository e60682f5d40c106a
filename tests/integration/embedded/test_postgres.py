"""The embedded PostgreSQL, started for each test that stops or kills it."""

from pathlib import Path

import asyncpg
import pytest

from embedded.postgres import Postgres
from embedded.process import ServerFailed


async def fetchval(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_is_version_18_and_runs_as_no_superuser_of_the_machine(postgres):
    assert str(await fetchval(postgres.dsn(), "SHOW server_version")).startswith("18")
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids


async def test_the_unix_socket_answers_too(postgres):
    connection = await asyncpg.connect(host=str(postgres.socket_dir), port=postgres.port, user="postgres")
    try:
        assert await connection.fetchval("SELECT inet_server_addr()") is None
    finally:
        await connection.close()


async def test_data_survive_a_stop_and_a_kill(state_dir):
    async with Postgres.start(state_dir) as postgres:
        dsn = postgres.dsn("kept")
        await postgres.create_database("kept")
        await postgres.execute("CREATE TABLE t (n int)", "kept")
        await postgres.execute("INSERT INTO t VALUES (1)", "kept")

        await postgres.stop()
        with pytest.raises(OSError):
            await asyncpg.connect(dsn)
        with pytest.raises(ServerFailed):
            _ = postgres.pid
        await postgres.start_again()
        assert await fetchval(dsn, "SELECT n FROM t") == 1

        await postgres.execute("INSERT INTO t VALUES (2)", "kept")
        await postgres.kill()
        await postgres.start_again()
        assert await fetchval(dsn, "SELECT sum(n) FROM t") == 3
        assert postgres.dsn("kept") == dsn


async def test_a_copy_of_a_database_has_its_rows_and_its_own_life(postgres, number):
    name = f"copy{number}"
    await postgres.create_database(f"{name}a")
    await postgres.execute("CREATE TABLE t AS SELECT 1 AS n", f"{name}a")
    await postgres.create_database(f"{name}b", template=f"{name}a")
    await postgres.execute("UPDATE t SET n = 2", f"{name}b")
    assert await fetchval(postgres.dsn(f"{name}a"), "SELECT n FROM t") == 1

    open_connection = await asyncpg.connect(postgres.dsn(f"{name}b"))
    await postgres.drop_database(f"{name}b")
    await postgres.drop_database(f"{name}a")
    open_connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await fetchval(postgres.dsn(f"{name}b"), "SELECT 1")


async def test_statements_are_counted_by_database(postgres, database):
    before = await database.statement_count()
    for _ in range(3):
        await fetchval(database.control_dsn, "SELECT 1")
    assert await database.statement_count() >= before + 3
