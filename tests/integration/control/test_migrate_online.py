"""Indexes that are built while others write: what a build waits for, who does not wait for it, and what is left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from control.db import migrate as migrations
from control.db.migrate import FORMER, available, migrate
from control.db.online import BUILDS, is_online, statements
from embedded.database import Database

Eventually = Callable[..., Awaitable[Any]]
ONLINE = next(one for one in available() if one.version == 32)
INDEXES = [match["index"] for match in BUILDS.finditer(ONLINE.sql)]
WAITED_FOR = "idx_audit_hostname"
WRITE = """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $1, 'a.test', 'test', 'add')"""


@dataclass(frozen=True, slots=True)
class Older:
    """A database without the indexes, and a writer of a table of theirs whose transaction is open."""

    database: Database
    owner: asyncpg.Connection[Any]
    writer: asyncpg.Connection[Any]
    held: Any

    async def indexes(self) -> Mapping[str, bool]:
        """Those that are there, and whether they are valid."""
        rows = await self.owner.fetch(
            """SELECT relname AS name, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
               WHERE relname = ANY($1)""",
            INDEXES,
        )
        return {row["name"]: row["indisvalid"] for row in rows}

    async def is_building(self) -> bool:
        """It has come to the one that waits for the writer."""
        return (await self.indexes()).get(WAITED_FOR) is False

    async def has_looked(self) -> bool:
        """Another that migrates has found that it is not its turn."""
        return await self.owner.fetchval(
            """SELECT EXISTS (SELECT FROM pg_stat_activity
                              WHERE datname = $1 AND usename = current_user AND query = 'COMMIT;')""",
            self.database.name,
        )

    async def cut_the_build(self) -> None:
        await self.owner.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index WHERE datname = $1", self.database.name
        )


@pytest.fixture
async def older(database: Database) -> AsyncIterator[Older]:
    owner = await asyncpg.connect(database.owner_dsn)
    writer = await asyncpg.connect(database.control_dsn)
    try:
        for index in INDEXES:
            await owner.execute(f"DROP INDEX {index}")
        await owner.execute("DELETE FROM schema_migrations WHERE version = $1", ONLINE.version)
        held = writer.transaction()
        await held.start()
        await writer.execute(WRITE, uuid4())
        yield Older(database, owner, writer, held)
    finally:
        await writer.close()
        await owner.close()


def test_a_file_with_such_indexes_has_nothing_else() -> None:
    for one in available():
        assert is_online(one.sql) == ("CONCURRENTLY" in one.sql)
        if is_online(one.sql):
            assert all(BUILDS.match(statement) for statement in statements(one.sql))


async def test_others_write_meanwhile_and_another_that_migrates_waits(older: Older, eventually: Eventually) -> None:
    first = asyncio.create_task(migrate(older.database.owner_dsn))
    await eventually(older.is_building)
    second = asyncio.create_task(migrate(older.database.owner_dsn))
    await eventually(older.has_looked)
    others = await asyncpg.connect(older.database.control_dsn)
    try:
        await others.execute("SET lock_timeout = '2s'")
        await others.execute(WRITE, uuid4())
        await older.writer.execute(WRITE, uuid4())
        assert not first.done()
        assert not second.done()
        await older.held.commit()
        assert [[one.version for one in done] for done in await asyncio.gather(first, second)] == [[32], []]
    finally:
        await others.close()
    assert await older.indexes() == dict.fromkeys(INDEXES, True)


async def test_one_that_was_cut_off_is_dropped_and_built_anew(older: Older, eventually: Eventually) -> None:
    first = asyncio.create_task(migrate(older.database.owner_dsn))
    await eventually(older.is_building)
    await older.cut_the_build()
    with pytest.raises(asyncpg.QueryCanceledError):
        await first
    assert (await older.indexes())[WAITED_FOR] is False
    await older.held.commit()
    assert await migrate(older.database.owner_dsn) == [ONLINE]
    assert await older.indexes() == dict.fromkeys(INDEXES, True)


async def test_after_a_kill_it_waits_for_what_postgresql_still_builds(older: Older, eventually: Eventually) -> None:
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "migrate"), env={"NAMEPLATE_OWNER_DATABASE_URL": older.database.owner_dsn}
    )
    await eventually(older.is_building, timeout=20)
    killed.kill()
    await killed.wait()
    building = await older.owner.fetchval("SELECT $1::regclass::oid", WAITED_FOR)
    again = asyncio.create_task(migrate(older.database.owner_dsn))
    await eventually(older.has_looked)
    await older.held.commit()
    assert await again == [ONLINE]
    assert await older.indexes() == dict.fromkeys(INDEXES, True)
    assert await older.owner.fetchval("SELECT $1::regclass::oid", WAITED_FOR) == building


async def test_the_release_before_that_migrates_beside_it_is_not_waited_for(
    older: Older, eventually: Eventually
) -> None:
    """0.1 waits for its turn in a transaction, for which a build would wait in turn."""
    first = asyncio.create_task(migrate(older.database.owner_dsn))
    await eventually(older.is_building)
    async with asyncio.timeout(60), older.owner.transaction():
        await older.owner.execute("SELECT pg_advisory_xact_lock($1)", migrations.LOCK)
        await older.held.commit()
    assert await first == [ONLINE]


async def test_it_does_not_wait_for_its_own_transaction(older: Older) -> None:
    await older.held.commit()
    await older.owner.execute(
        f"ALTER DATABASE {older.database.name} SET default_transaction_isolation = 'repeatable read'"
    )
    async with asyncio.timeout(60):
        assert await migrate(older.database.owner_dsn) == [ONLINE]


async def test_a_database_that_had_them_of_an_earlier_file_has_the_same_afterwards(older: Older) -> None:
    await older.held.commit()
    for statement in statements(ONLINE.sql):
        await older.owner.execute(statement.replace("CONCURRENTLY IF NOT EXISTS", ""))
    await older.owner.execute("UPDATE schema_migrations SET checksum = $1 WHERE version = 30", FORMER[30])
    before = await older.owner.fetch("SELECT indexrelid, pg_get_indexdef(indexrelid) FROM pg_index ORDER BY 1")
    assert await migrate(older.database.owner_dsn) == [ONLINE]
    assert await older.owner.fetch("SELECT indexrelid, pg_get_indexdef(indexrelid) FROM pg_index ORDER BY 1") == before
    assert migrations.pending(await migrations.applied(older.owner), available()) == []
