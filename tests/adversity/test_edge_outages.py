"""The edge on bad days of PostgreSQL: it stays as it was, claims nothing, and is the tables again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from scenes.directory import Running, running
from scenes.edges import EdgeRows, stored

from embedded.database import Database
from embedded.proxy import Proxy
from sidecar.directory.feed import BACKOFF_LAST
from sidecar.directory.reader import DEADLINE
from sidecar.edge import reader

Eventually = Callable[..., Awaitable[Any]]
TERMINATE = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'nameplate_sidecar'"""
BACK = 2 * (BACKOFF_LAST + DEADLINE)


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    async with Proxy.start(("127.0.0.1", database.postgres.port)) as proxy:
        yield proxy


@pytest.fixture
async def rows(database: Database) -> AsyncIterator[EdgeRows]:
    connection = await asyncpg.connect(database.control_dsn)
    yield EdgeRows(connection)
    await connection.close()


@pytest.fixture
async def sidecar(database: Database, proxy: Proxy, state_dir: Path, eventually: Eventually) -> AsyncIterator[Running]:
    """It reaches PostgreSQL through `proxy`, and has read."""
    dsn = database.sidecar_dsn.replace(f":{database.postgres.port}/", f":{proxy.port}/")
    async with running(dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        yield sidecar


async def follows(sidecar: Running, database: Database, eventually: Eventually) -> None:
    expected = await stored(database)
    await eventually(lambda: sidecar.service.edge.current == expected, timeout=BACK)
    await eventually(lambda: not sidecar.directory.stale, timeout=BACK)


async def test_no_change_is_missed_though_the_connection_is_cut_again_and_again(
    rows: EdgeRows, sidecar: Running, proxy: Proxy, database: Database, eventually: Eventually
) -> None:
    for number in range(12):
        await rows.service("shop", 1000 + number)
        await proxy.cut_once()
        await rows.trust("roots", number % 3)
    await follows(sidecar, database, eventually)


async def test_while_postgresql_cannot_be_reached_the_edge_stays_and_then_it_is_the_tables(
    rows: EdgeRows, sidecar: Running, proxy: Proxy, database: Database, eventually: Eventually
) -> None:
    await rows.service("shop", 1)
    await follows(sidecar, database, eventually)
    before = sidecar.service.edge.current
    await proxy.cut()
    await eventually(lambda: sidecar.directory.stale)
    await rows.service("shop", 2)
    await rows.service("other")
    await eventually(lambda: sidecar.feed.failures >= 2, timeout=BACK)
    assert sidecar.service.edge.current is before
    proxy.restore()
    await follows(sidecar, database, eventually)
    assert sidecar.feed.intake.reloads == 1


async def test_a_read_of_the_edge_that_hangs_is_given_up_and_done_again(
    rows: EdgeRows,
    sidecar: Running,
    database: Database,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "SLICE_DEADLINE", 0.3)
    superuser = await asyncpg.connect(database.superuser_dsn)
    try:
        async with superuser.transaction():
            await superuser.execute("LOCK TABLE consumers IN ACCESS EXCLUSIVE MODE")
            position = sidecar.feed.position
            await rows.service("shop")
            await eventually(lambda: sidecar.feed.failures >= 2, timeout=BACK)
            assert not sidecar.service.edge.current.services  # type: ignore[union-attr]
            assert sidecar.feed.position == position
    finally:
        await superuser.close()
    await follows(sidecar, database, eventually)


@pytest.mark.parametrize("cut", [False, True])
async def test_it_ends_when_it_is_told_to_in_the_middle_of_a_read(
    database: Database, state_dir: Path, eventually: Eventually, cut: bool
) -> None:
    """An error on the way out of a transaction must not hide that."""
    superuser = await asyncpg.connect(database.superuser_dsn)
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'consumers'::regclass AND NOT granted"
    try:
        for _ in range(5):
            async with superuser.transaction():
                await superuser.execute("LOCK TABLE consumers IN ACCESS EXCLUSIVE MODE")
                async with running(database.sidecar_dsn, state_dir) as sidecar:

                    async def reads_in_vain() -> bool:
                        return bool(await superuser.fetchval(waiting))

                    await eventually(reads_in_vain, timeout=BACK)
                    if cut:
                        await superuser.execute(TERMINATE)
                    async with asyncio.timeout(10):
                        await sidecar.stop()
    finally:
        await superuser.close()
