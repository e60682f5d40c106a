"""The directory on bad days of PostgreSQL: it goes on answering, says that it is stale, and misses nothing after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from scenes.directory import Running, live_names, rows_of, running

from embedded.background import Background
from embedded.database import Database
from embedded.postgres import Postgres
from embedded.proxy import Proxy
from sidecar.directory.entry import Entry, Unknown
from sidecar.directory.feed import BACKOFF_LAST, READ_INTERVAL
from sidecar.directory.reader import DEADLINE

Eventually = Callable[..., Awaitable[Any]]

TERMINATE = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'nameplate_sidecar'"""
# Until a server that is back has been noticed.
BACK = BACKOFF_LAST + DEADLINE


@pytest.fixture(scope="module")
def own_postgres(background: Background, session_dir: Path) -> Iterator[Postgres]:
    """One that may be stopped; each test leaves it running."""
    home = session_dir / "directory-outages"
    home.mkdir(mode=0o711)
    yield background.enter(Postgres.start(home))


@pytest.fixture
def database(background: Background, own_postgres: Postgres, number: int) -> Iterator[Database]:
    database = background.run(Database.create(own_postgres, f"t{number}"))
    yield database
    background.run(database.drop())


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    async with Proxy.start(("127.0.0.1", database.postgres.port)) as proxy:
        yield proxy


@pytest.fixture
async def sidecar(database: Database, proxy: Proxy, state_dir: Path, eventually: Eventually) -> AsyncIterator[Running]:
    """A directory that reaches PostgreSQL through `proxy` and has read."""
    dsn = database.sidecar_dsn.replace(f":{database.postgres.port}/", f":{proxy.port}/")
    async with running(dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        yield sidecar


async def follows(sidecar: Running, database: Database, eventually: Eventually, timeout: float = BACK) -> None:
    """The directory, and what its consumers were told, become what the tables say, and it knows that it is fresh."""
    expected = await live_names(database)
    await eventually(lambda: sidecar.held() == expected == sidecar.believed, timeout=timeout)
    await eventually(lambda: not sidecar.directory.stale, timeout=timeout)


async def test_no_change_is_missed_while_the_listeners_backend_is_terminated(
    database: Database, sidecar: Running, eventually: Eventually
) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    async with rows_of(database) as rows:
        tenant = await rows.any_tenant()
        for n in range(15):
            await rows.domain(f"before{n}.test", tenant=tenant)
            await superuser.execute(TERMINATE)
            await rows.domain(f"after{n}.test", tenant=tenant)
            if n % 3:
                await rows.delete(f"before{n - 1}.test")
            if n % 5 == 4:
                await follows(sidecar, database, eventually)
    await superuser.close()
    await follows(sidecar, database, eventually)
    assert sidecar.feed.connects > 3
    assert sidecar.feed.intake.reloads == 1


async def test_changes_made_while_it_cannot_connect_are_read_when_it_can_and_nothing_else_is(
    database: Database, proxy: Proxy, sidecar: Running, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        await rows.domains(["same.test", "gone.test"])
        await follows(sidecar, database, eventually)
        await proxy.cut()
        await eventually(lambda: sidecar.directory.stale)
        slow = rows_of(database)
        open_one = await slow.__aenter__()
        transaction = open_one.connection.transaction()
        await transaction.start()
        await open_one.domain("slow.test")
        await rows.delete("gone.test")
        await rows.domain("new.test")
        assert isinstance(sidecar.directory.lookup("gone.test"), Entry), "it cannot know yet"
        del sidecar.announced[:]
        proxy.restore()
        await follows(sidecar, database, eventually)
        await transaction.commit()
        await slow.__aexit__(None, None, None)
        await follows(sidecar, database, eventually)
        told = set().union(*sidecar.announced)
        assert {"gone.test", "new.test", "slow.test"} <= told
        assert "same.test" not in told
        assert sidecar.feed.intake.reloads == 1


async def test_while_postgresql_is_stopped_live_names_go_on_and_unknown_ones_are_still_refused(
    database: Database, sidecar: Running, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        await rows.domains(["live.test"])
        await follows(sidecar, database, eventually)
    await database.postgres.stop()
    try:
        await eventually(lambda: sidecar.directory.stale)
        await eventually(lambda: sidecar.feed.failures >= 2)
        assert isinstance(sidecar.directory.lookup("live.test"), Entry)
        assert sidecar.directory.lookup("unknown.test") is Unknown.ABSENT
        assert await sidecar.service.source.load("unknown.test") is None
        assert sidecar.service.stats().stale
        assert sidecar.service.stats().feed_age > 0
    finally:
        await database.postgres.start_again()
    async with rows_of(database) as rows:
        await rows.domain("new.test")
        await rows.delete("live.test")
    await follows(sidecar, database, eventually)
    assert sidecar.feed.intake.reloads == 1, "its position was still good"


async def test_a_postgresql_that_is_killed_again_and_again_loses_no_change(
    database: Database, sidecar: Running, eventually: Eventually
) -> None:
    """A crashed server may hand out once more the transaction ids that it had not logged, such as the sightings'."""
    for n in range(4):
        async with rows_of(database) as rows:
            await rows.domain(f"a{n}.test")
            for _ in range(3 * n):
                await rows.connection.execute("SELECT pg_notify('nameplate_changes', '')")
        await database.postgres.kill()
        await database.postgres.start_again()
        async with rows_of(database) as rows:
            await rows.domain(f"b{n}.test")
            await rows.delete(f"a{n}.test")
        await follows(sidecar, database, eventually, timeout=15)


async def test_a_sidecar_restarted_while_postgresql_is_down_serves_from_its_snapshot(
    database: Database, state_dir: Path, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        await rows.tenant("acme")
        await rows.domains(["live.test", "gone.test", "*.wild.test"])
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        before = sidecar.held()
        await database.postgres.stop()
    started_again = False
    try:
        async with running(database.sidecar_dsn, state_dir) as again:
            await eventually(lambda: again.directory.loaded)
            assert again.held() == before == again.believed
            assert again.directory.complete
            assert again.directory.stale
            assert again.feed.age() == float("inf")
            assert isinstance(again.directory.lookup("a.wild.test"), Entry)
            assert isinstance(again.directory.lookup("acme.platform.test"), Entry)
            assert again.directory.lookup("unknown.test") is Unknown.ABSENT
            await eventually(lambda: again.feed.failures >= 1)

            await database.postgres.start_again()
            started_again = True
            async with rows_of(database) as rows:
                await rows.delete("gone.test")
                await rows.domain("new.test")
            await follows(again, database, eventually)
            assert again.feed.intake.reloads == 0
    finally:
        if not started_again:
            await database.postgres.start_again()


async def test_a_network_that_swallows_everything_is_noticed_by_the_probe(
    database: Database, proxy: Proxy, sidecar: Running, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        await rows.domain("live.test")
        await follows(sidecar, database, eventually)
        proxy.stall()
        await rows.domain("new.test")
        await eventually(lambda: sidecar.directory.stale, timeout=READ_INTERVAL + DEADLINE + 3)
        assert isinstance(sidecar.directory.lookup("live.test"), Entry)
        await proxy.cut()
        proxy.restore()
        await follows(sidecar, database, eventually, timeout=BACK + DEADLINE)
        assert sidecar.feed.intake.reloads == 1


async def test_a_thousand_unknown_names_cost_postgresql_no_statement(
    database: Database, sidecar: Running, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        await rows.domains(f"s{n}.example.com" for n in range(100))
        await follows(sidecar, database, eventually)
    # Right after one of the feed's own reads, which come every few seconds.
    await eventually(lambda: 1 < sidecar.feed.age() < 2, timeout=10)
    statements, sent = await database.statement_count(), sidecar.service.postgres.statements.sent
    for n in range(1000):
        assert sidecar.directory.lookup(f"made-up-{n}.example.net") is Unknown.ABSENT
        assert await sidecar.service.source.load(f"made-up-{n}.example.net") is None
    assert await database.statement_count() == statements
    assert sidecar.service.postgres.statements.sent == sent
    assert sidecar.directory.negatives >= 1000
