"""The change feed on a real PostgreSQL: every change is seen, once, soon, and by those who must know."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import NOT_AFTER, SIDECAR, Rows, Running, live_names, rows_of, running

from core.feed import CHANGES_CHANNEL, SIDECARS_CHANNEL, Sighting
from embedded.database import Database
from sidecar.directory.entry import Entry, Unknown
from sidecar.directory.feed import READ_SPACING
from sidecar.directory.position import RECENT_LIMIT

Eventually = Callable[..., Awaitable[Any]]


async def test_an_active_domain_is_served_and_a_deleted_one_is_absent(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    domain = await rows.domain("shop.example.com", "verified", tenant)
    await eventually(lambda: sidecar.directory.lookup("shop.example.com") is not Unknown.ABSENT)
    expected = Entry("shop.example.com", str(tenant), str(domain), False, None, None, None, platform=False)
    assert sidecar.directory.lookup("shop.example.com") == expected

    await rows.certificate("shop.example.com", "ab" * 32, vault_version=3)
    await rows.status("shop.example.com", "active")
    expected = Entry(
        "shop.example.com", str(tenant), str(domain), True, "ab" * 32, 3, NOT_AFTER.timestamp(), platform=False
    )
    await eventually(lambda: sidecar.directory.lookup("shop.example.com") == expected)

    await rows.delete("shop.example.com")
    await eventually(lambda: sidecar.directory.lookup("shop.example.com") is Unknown.ABSENT)
    assert frozenset({"shop.example.com"}) in sidecar.announced


async def test_an_uploaded_certificate_comes_before_the_managed_one_until_it_is_withdrawn(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    async def facts(name: str = "shop.example.com") -> tuple[Any, ...]:
        entry = sidecar.directory.lookup(name)
        assert isinstance(entry, Entry)
        return entry.live, entry.fingerprint, entry.vault_version, entry.uploaded

    async def has(*expected: Any) -> None:
        async def same() -> bool:
            return await facts() == expected

        await eventually(same)

    await rows.domain("shop.example.com", "verified", await rows.tenant("acme"))
    await eventually(lambda: isinstance(sidecar.directory.lookup("shop.example.com"), Entry))
    await rows.upload("shop.example.com", "cd" * 32, vault_version=7)
    await has(True, "cd" * 32, 7, True)  # live without any CA

    before = await rows.connection.fetchval("SELECT count(*) FROM changes")
    await rows.certificate("shop.example.com", "ab" * 32, vault_version=3)
    assert await rows.connection.fetchval("SELECT count(*) FROM changes") == before, "nothing of it is served"
    await rows.withdraw("shop.example.com")
    await has(True, "ab" * 32, 3, False)
    assert await rows.connection.fetchval("SELECT count(*) FROM changes WHERE ended IS NOT NULL") == 0
    assert sidecar.directory.lookup("shop.example.com") == (await live_names(database))["shop.example.com"]


async def test_a_tenant_has_its_slug_below_the_platforms_domain(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    await eventually(lambda: sidecar.directory.peek("acme.platform.test"))
    assert sidecar.directory.lookup("acme.platform.test") == Entry(
        "acme.platform.test", str(tenant), "", True, None, None, None, platform=True
    )
    await rows.connection.execute("UPDATE tenants SET slug = 'emca' WHERE id = $1", tenant)
    await eventually(lambda: sidecar.directory.peek("emca.platform.test"))
    assert sidecar.directory.lookup("acme.platform.test") is Unknown.ABSENT


async def test_a_row_below_the_platforms_domain_is_nobodys(
    rows: Rows, sidecar: Running, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """The API refuses such names; were one there all the same, it must not take a tenant's own."""
    owner = await rows.tenant("acme")
    for hostname in ("acme.platform.test", "*.platform.test", "platform.test", "marker.test"):
        await rows.domain(hostname)
    await eventually(lambda: sidecar.directory.peek("marker.test"))
    async with running(database.sidecar_dsn, state_dir / "other") as fresh:
        await eventually(lambda: fresh.directory.peek("marker.test"))
        for directory in (sidecar.directory, fresh.directory):
            found = directory.lookup("acme.platform.test")
            assert isinstance(found, Entry)
            assert found.tenant_id == str(owner)
            assert directory.lookup("other.platform.test") is Unknown.ABSENT
            assert directory.lookup("platform.test") is Unknown.ABSENT


async def test_what_was_there_before_is_loaded_and_announced(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    await rows.domains([f"s{n}.example.com" for n in range(2500)], tenant)
    await rows.domain("*.wild.test")
    await rows.domain("pending.test", "pending")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert sidecar.directory.complete
        assert sidecar.held() == await live_names(database) == sidecar.believed
        assert max(map(len, sidecar.announced)) <= 1000
        assert sidecar.directory.lookup("pending.test") is Unknown.ABSENT


async def test_a_long_open_transaction_delays_the_position_and_no_change(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    async with rows_of(database) as slow, rows_of(database) as listener:
        sightings: list[Sighting] = []
        await listener.connection.add_listener(
            SIDECARS_CHANNEL, lambda *notification: sightings.append(Sighting.from_payload(notification[-1]))
        )
        async with slow.connection.transaction():
            held_up: int = await slow.connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
            await slow.domain("slow.test")
            for n in range(5):
                await rows.domain(f"quick{n}.test")
                await eventually(lambda name=f"quick{n}.test": sidecar.directory.peek(name), timeout=1)
            xid = await rows.feed_xid()
            assert xid > held_up
            await eventually(lambda: any(sighting.has_seen(xid) for sighting in sightings))
            assert not any(sighting.has_seen(held_up) for sighting in sightings)
            assert sidecar.feed.position <= held_up
            applied = sidecar.feed.intake.changes
            reads = sidecar.feed.reads
            await rows.connection.execute("SELECT pg_notify($1, '')", CHANGES_CHANNEL)
            await eventually(lambda: sidecar.feed.reads > reads)
            assert sidecar.feed.intake.changes == applied, "what is above the position was read again"
        await eventually(lambda: sidecar.directory.peek("slow.test"))
        await eventually(lambda: any(sighting.has_seen(held_up) for sighting in sightings))
        assert sidecar.feed.position > xid
        assert sidecar.feed.intake.reloads == 1


async def test_sightings_come_after_each_change_and_tell_which_sidecar(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    payloads: list[str] = []
    await rows.connection.add_listener(SIDECARS_CHANNEL, lambda *notification: payloads.append(notification[-1]))
    await rows.domain("shop.example.com")
    xid = await rows.feed_xid()
    await eventually(lambda: any(Sighting.from_payload(payload).has_seen(xid) for payload in payloads), timeout=1)
    assert {json.loads(payload)["id"] for payload in payloads} == {SIDECAR}


async def test_a_bulk_of_changes_is_read_in_few_statements_and_told_in_few_sightings(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    """2,000 changes in 2,000 transactions, as fast as one connection can commit them."""
    sightings: list[str] = []
    async with rows_of(database) as listener:
        await listener.connection.add_listener(SIDECARS_CHANNEL, lambda *notification: sightings.append("one"))
        tenant = await rows.any_tenant()
        before = sidecar.service.postgres.statements.sent
        started = time.monotonic()
        statement = await rows.connection.prepare(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
               VALUES ($1, $2, 'token', now(), 'active')"""
        )
        for n in range(2000):
            await statement.fetch(tenant, f"s{n}.example.com")
        await eventually(lambda: len(sidecar.held()) == 2001, timeout=10)
        seconds = time.monotonic() - started
        allowed = seconds / READ_SPACING + 3
        assert len(sightings) <= allowed
        assert sidecar.service.postgres.statements.sent - before <= 3 * allowed
        assert sidecar.held() == await live_names(database) == sidecar.believed


async def test_a_transaction_of_more_changes_than_a_slice_is_followed_without_a_reload(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(len(sidecar.announced))
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    await rows.domains(f"s{n}.example.com" for n in range(5000))
    await eventually(lambda: len(sidecar.held()) == 5001)
    watcher.cancel()
    assert sidecar.feed.intake.reloads == 1
    assert sidecar.feed.intake.changes == 5001
    assert sidecar.held() == await live_names(database) == sidecar.believed
    assert max(map(len, sidecar.announced)) <= 1000
    # In a turn of the loop one slice: before the watcher's place in it, or after.
    assert max(after - before for before, after in pairwise(seen)) <= 2, "others have their turn after each slice"


async def test_of_a_bulk_the_newest_changes_are_kept_in_mind_wherever_they_lie(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """By them it is seen that a server lost its last commits. A pruned table has room for new rows anywhere."""
    await rows.domain("first.test")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
    await rows.domains(f"s{n}.test" for n in range(3000))
    older = f"id <= (SELECT max(id) - {RECENT_LIMIT} FROM changes)"
    await database.postgres.execute(f"UPDATE changes SET at = at WHERE {older}", database.name)  # moves them behind
    async with running(database.sidecar_dsn, state_dir) as again:
        await eventually(lambda: again.feed.reads > 0)
        assert again.feed.intake.reloads == 0
        assert again.feed.intake.resume_from is not None
        kept = {mark.id for mark in again.feed.intake.resume_from.recent}
    assert kept == {row[0] for row in await rows.connection.fetch(f"SELECT id FROM changes WHERE NOT {older}")}


async def test_a_read_costs_what_is_new_and_not_what_is_kept(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    """So many reads that PostgreSQL might settle for one plan for any position."""

    async def rows_read(column: str) -> int:
        return int(
            await rows.connection.fetchval(f"SELECT {column} FROM pg_stat_user_tables WHERE relname = 'changes'")
        )

    await rows.domains(f"s{n}.example.com" for n in range(5_000))
    await database.postgres.execute("ANALYZE changes", database.name)
    await eventually(lambda: len(sidecar.held()) == 5_001, timeout=20)
    # What a backend counted is published at the end of a later statement, a second later at most.
    sequential, indexed = await rows_read("seq_tup_read"), await rows_read("idx_scan")
    for n in range(15):
        await rows.domain(f"new{n}.test")
        await eventually(lambda name=f"new{n}.test": sidecar.directory.peek(name))
    await eventually(lambda: sidecar.feed.age() < 0.5, timeout=10)

    async def published() -> bool:
        return await rows_read("idx_scan") >= indexed + 3 * 15

    await eventually(published, timeout=15)
    assert await rows_read("seq_tup_read") - sequential < 3 * 5_000, "the bulk itself may count, and no read after it"


async def test_a_consumer_that_fails_keeps_no_other_from_the_news(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    told: list[frozenset[str]] = []

    def fail(_hostnames: frozenset[str]) -> None:
        raise RuntimeError("a mistake of ours")

    sidecar.feed.subscribe(fail)
    sidecar.feed.subscribe(told.append)
    await rows.domain("shop.example.com")
    await eventually(lambda: "shop.example.com" in frozenset().union(*told))
    assert sidecar.feed.failures == 0


async def test_notifications_of_strangers_do_no_harm(rows: Rows, sidecar: Running, eventually: Eventually) -> None:
    """Any role may send them."""
    before, sent = sidecar.feed.reads, sidecar.service.postgres.statements.sent
    started = time.monotonic()
    for _ in range(300):
        await rows.connection.execute("SELECT pg_notify($1, 'no transaction')", CHANGES_CHANNEL)
    await eventually(lambda: sidecar.feed.reads > before)
    reads = sidecar.feed.reads - before
    assert reads <= (time.monotonic() - started) / READ_SPACING + 8
    assert sidecar.service.postgres.statements.sent - sent <= reads + 2, "a read without news is one statement"
    assert sidecar.feed.failures == 0


async def test_a_database_without_the_feeds_row_is_waited_for(
    database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """As in the middle of being restored."""

    await database.postgres.execute("CREATE TABLE away AS SELECT * FROM feed; DELETE FROM feed", database.name)
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.failures >= 2)
        assert not sidecar.directory.loaded
        await database.postgres.execute("INSERT INTO feed SELECT * FROM away", database.name)
        await eventually(lambda: sidecar.directory.loaded and not sidecar.directory.stale)


async def test_a_connection_string_that_cannot_be_used_is_not_repeated(
    state_dir: Path, eventually: Eventually, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running("postgresql://nameplate:hunter2:x@/db?port=y", state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.failures >= 2)
    output = "".join(capfd.readouterr())
    assert "AddressUnusable" in output
    assert "hunter2" not in output
