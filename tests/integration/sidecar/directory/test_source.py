"""Loading names that are not in memory: one statement a name, for all who wait, within a budget, never outdated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import PLATFORM, Rows, Running, live_names, running

from embedded.database import Database
from embedded.proxy import Proxy
from sidecar.directory.budget import Budget
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, PlatformDomain, Unknown
from sidecar.directory.errors import Refused, Unavailable
from sidecar.directory.postgres import Postgres
from sidecar.directory.reader import Reader
from sidecar.directory.source import ATTEMPTS, LOAD_DEADLINE, Source

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def incomplete(rows: Rows, database: Database, state_dir: Path, eventually: Eventually) -> AsyncIterator[Running]:
    """A running directory that holds 5 of 31 names."""
    await rows.domains([f"s{n}.test" for n in range(30)], await rows.tenant("acme"))
    async with running(database.sidecar_dsn, state_dir, capacity=5, misses_per_second=1000) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert not sidecar.directory.complete
        yield sidecar


async def test_a_name_that_is_not_held_is_loaded_and_then_held(incomplete: Running, database: Database) -> None:
    expected = await live_names(database)
    for name, entry in expected.items():
        assert await incomplete.service.source.load(name) == entry
        assert incomplete.directory.lookup(name) == entry
    assert len(incomplete.directory) == 5


async def test_many_who_ask_for_one_name_cost_one_statement(incomplete: Running, rows: Rows) -> None:
    name = next(name for name in (f"s{n}.test" for n in range(30)) if incomplete.directory.find(name) is Unknown.MISS)
    before = incomplete.service.source.loads
    found = await asyncio.gather(*(incomplete.service.source.load(name) for _ in range(100)))
    assert incomplete.service.source.loads == before + 1
    assert len(set(found)) == 1
    assert found[0] is not None


async def test_an_absent_name_is_asked_for_once_and_the_feed_ends_its_absence(
    incomplete: Running, rows: Rows, eventually: Eventually
) -> None:
    source = incomplete.service.source
    assert await source.load("new.test") is None
    assert incomplete.directory.lookup("new.test") is Unknown.ABSENT
    loads = source.loads
    assert await source.load("new.test") is None
    assert source.loads == loads
    await rows.domain("new.test")
    await eventually(lambda: isinstance(incomplete.directory.lookup("new.test"), Entry))


async def test_a_wildcard_answers_only_when_the_exact_name_is_known_to_be_absent(
    incomplete: Running, rows: Rows, eventually: Eventually
) -> None:
    await rows.domain("*.shop.test")
    await eventually(lambda: incomplete.directory.peek("*.shop.test"))
    assert incomplete.directory.lookup("a.shop.test") is Unknown.MISS
    found = await incomplete.service.source.load("a.shop.test")
    assert found is not None
    assert found.hostname == "*.shop.test"
    assert incomplete.directory.lookup("a.shop.test") == found
    await rows.domain("a.shop.test")
    await eventually(lambda: incomplete.directory.peek("a.shop.test"))
    assert await incomplete.service.source.load("a.shop.test") == incomplete.directory.peek("a.shop.test")
    assert await incomplete.service.source.load("a.b.shop.test") is None


async def test_a_platform_subdomain_is_loaded_by_its_slug(incomplete: Running, rows: Rows) -> None:
    tenant = await rows.connection.fetchval("SELECT id FROM tenants WHERE slug = 'acme'")
    found = await incomplete.service.source.load("acme.platform.test")
    assert found == Entry("acme.platform.test", str(tenant), "", True, None, None, None, platform=True)
    before = incomplete.service.source.loads
    assert await incomplete.service.source.load("a.acme.platform.test") is None
    assert await incomplete.service.source.load("platform.test") is None
    assert incomplete.service.source.loads == before


async def test_a_flood_of_made_up_names_cannot_spend_more_than_the_budget(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domains(f"s{n}.test" for n in range(30))
    async with running(database.sidecar_dsn, state_dir, capacity=5, misses_per_second=20) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        before, started = sidecar.service.postgres.statements.sent, time.monotonic()
        results = await asyncio.gather(
            *(sidecar.service.source.load(f"made-up-{n}.test") for n in range(1000)), return_exceptions=True
        )
        budget = 25 + 20 * (time.monotonic() - started)
        refused = [result for result in results if isinstance(result, Refused)]
        assert len(refused) >= 1000 - budget
        assert [result for result in results if result is not None and not isinstance(result, Refused)] == []
        assert sidecar.service.postgres.statements.sent - before <= budget + 5
        assert sidecar.service.source.refused == len(refused)


class HeldUp(Postgres):
    """A real PostgreSQL whose answers, once read, wait at `gate` on their way back."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, PlatformDomain(PLATFORM))
        self.gate = asyncio.Semaphore(0)
        self.waiting = asyncio.Event()

    @asynccontextmanager
    async def pooled(self) -> AsyncIterator[Reader]:
        async with super().pooled() as reader:
            held_up = HeldUpReader(reader._connection, PlatformDomain(PLATFORM), self.statements)
            held_up.server = self
            yield held_up


class HeldUpReader(Reader):
    server: HeldUp

    async def load_names(self, hostnames: Collection[str]) -> dict[str, Entry | None]:
        facts = await super().load_names(hostnames)
        self.server.waiting.set()
        await self.server.gate.acquire()
        return facts


@pytest.fixture
async def held_up(database: Database) -> AsyncIterator[HeldUp]:
    postgres = HeldUp(database.sidecar_dsn)
    yield postgres
    postgres.close()


async def test_a_load_that_a_change_overtook_does_not_bring_the_old_state_back(rows: Rows, held_up: HeldUp) -> None:
    await rows.domain("shop.test", "verified")
    directory = Directory(PlatformDomain(PLATFORM), 10)
    source = Source(directory, held_up, Budget(100))
    load = asyncio.create_task(source.load("shop.test"))
    await held_up.waiting.wait()

    await rows.status("shop.test", "active")
    async with Postgres.pooled(held_up) as reader:
        directory.apply(await reader.load_names(["shop.test"]))
    newer = directory.lookup("shop.test")
    statements = held_up.statements.sent
    held_up.gate.release()
    held_up.gate.release()
    assert await load == newer == directory.lookup("shop.test")
    assert isinstance(newer, Entry)
    assert newer.live
    assert held_up.statements.sent == statements + 1, "it was loaded again"


async def test_a_load_that_a_wildcards_change_overtook_is_done_again(rows: Rows, held_up: HeldUp) -> None:
    directory = Directory(PlatformDomain(PLATFORM), 10)
    source = Source(directory, held_up, Budget(100))
    load = asyncio.create_task(source.load("a.shop.test"))
    await held_up.waiting.wait()

    await rows.domain("*.shop.test")
    async with Postgres.pooled(held_up) as reader:
        directory.apply(await reader.load_names(["*.shop.test"]))
    held_up.gate.release()
    held_up.gate.release()
    found = await load
    assert found is not None
    assert found.hostname == "*.shop.test"
    assert directory.lookup("a.shop.test") == found


async def test_a_name_that_changes_faster_than_it_loads_is_answered_but_not_remembered(
    rows: Rows, held_up: HeldUp
) -> None:
    await rows.domain("shop.test")
    directory = Directory(PlatformDomain(PLATFORM), 10)
    source = Source(directory, held_up, Budget(100))
    load = asyncio.create_task(source.load("shop.test"))
    for _ in range(ATTEMPTS):
        await held_up.waiting.wait()
        held_up.waiting.clear()
        directory.apply({"shop.test": None})
        held_up.gate.release()
    found = await load
    assert found is not None
    assert directory.peek("shop.test") is None


async def test_while_postgresql_does_not_answer_a_load_is_unavailable_within_its_deadline(
    rows: Rows, database: Database, eventually: Eventually
) -> None:
    await rows.domain("shop.test")
    async with Proxy.start(("127.0.0.1", database.postgres.port)) as proxy:
        dsn = database.sidecar_dsn.replace(f":{database.postgres.port}/", f":{proxy.port}/")
        postgres = Postgres(dsn, PlatformDomain(PLATFORM))
        directory = Directory(PlatformDomain(PLATFORM), 10)
        source = Source(directory, postgres, Budget(1000))
        assert await source.load("warm-up.test") is None
        proxy.stall()
        started = time.monotonic()
        results = await asyncio.gather(*(source.load(f"s{n}.test") for n in range(20)), return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        assert time.monotonic() - started < 2 * LOAD_DEADLINE
        await proxy.cut()
        with pytest.raises(Unavailable):
            await source.load("shop.test")
        assert directory.lookup("shop.test") is Unknown.MISS, "nothing was learned"
        proxy.restore()

        async def loaded() -> bool:
            try:
                return await source.load("shop.test") is not None
            except Unavailable:
                return False

        await eventually(loaded)
        assert source.failures >= 21
        source.close()
        postgres.close()
