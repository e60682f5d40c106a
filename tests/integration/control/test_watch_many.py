"""Many names that are looked at again, many replicas, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from scenes.watch import APEX, FOREIGN, INTERVAL, Room

from control.domains import watch
from embedded.database import Database
from embedded.dns import Fault


@pytest.fixture
async def room(pool: asyncpg.Pool[Any], dns_zone: Any) -> AsyncIterator[Room]:
    async with Room.open(pool, dns_zone) as room:
        yield room


async def test_replicas_share_the_names_and_no_miss_counts_twice(room: Room) -> None:
    ids = [await room.domain(f"d{number}") for number in range(60)]
    for number in range(60):
        room.point(f"d{number}", "A", FOREIGN)
    looked = await asyncio.gather(*(room.watch().round() for _ in range(4)))
    assert sum(looked) == 60
    assert {(await room.row(one))["misses"] for one in ids} == {1}


async def test_a_look_that_outlived_its_lease_changes_nothing(room: Room) -> None:
    domain_id = await room.domain()
    slow = room.watch()
    [turn] = await slow._take(1)
    room.now += watch.LEASE
    await room.look()
    before = await room.row(domain_id)
    assert before["misses"] == 1
    await slow._look(turn)
    assert await room.row(domain_id) == before


async def test_a_name_deleted_during_the_look_is_left_alone(room: Room) -> None:
    domain_id = await room.domain()
    slow = room.watch()
    [turn] = await slow._take(1)
    await room.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    await slow._look(turn)
    assert (await room.row(domain_id))["misses"] == 0


async def test_a_look_that_fails_holds_up_no_other(room: Room) -> None:
    ids = [await room.domain(label) for label in ("away", "broken", "sound")]
    room.raising = {room.full("away"): ConnectionResetError(), room.full("broken"): ZeroDivisionError()}
    for label in ("away", "broken", "sound"):
        room.point(label, "A", FOREIGN)
    await room.look()
    assert [(await room.row(one))["misses"] for one in ids] == [0, 0, 1]
    assert {(await room.row(one))["look_at"] for one in ids[:2]} == {room.now + watch.LEASE}, "they have another turn"


async def test_a_clock_that_was_years_ahead_keeps_no_name_from_its_look(room: Room) -> None:
    domain_id = await room.domain()
    room.point("shop", "A", FOREIGN)
    now = room.now
    room.now += timedelta(days=1000)
    await room.watch().round()
    room.now = now + timedelta(minutes=1)
    assert await room.watch().round() == 0
    row = await room.row(domain_id)
    assert (row["status"], row["misses"]) == ("active", 1), "one look is one miss, however far the clock went"
    assert room.now <= row["look_at"] <= room.now + INTERVAL


async def test_names_whose_dns_hangs_hold_up_no_other(room: Room, eventually: Any) -> None:
    hanging = [await room.domain(f"hanging{number}") for number in range(10)]
    sound = [await room.domain(f"sound{number}") for number in range(2 * watch.CONCURRENCY)]
    room.patience = 600.0
    for number in range(10):
        room.servers[0].fail(room.full(f"hanging{number}"), Fault(drop=True))
    for number in range(len(sound)):
        room.point(f"sound{number}", "A", APEX)
    running = asyncio.create_task(room.watch().run())
    try:

        async def all_but_the_hanging() -> bool:
            rows = await room.pool.fetch("SELECT id FROM custom_domains WHERE looked_at IS NOT NULL")
            return {row["id"] for row in rows} == set(sound)

        await eventually(all_but_the_hanging, timeout=30)
        assert not running.done()
        assert {(await room.row(one))["misses"] for one in hanging} == {0}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_watch_survives_that_postgresql_cuts_its_connections(
    room: Room, database: Database, eventually: Any
) -> None:
    domain_id = await room.domain()
    running = asyncio.create_task(room.watch().run())
    try:
        superuser = await asyncpg.connect(database.superuser_dsn)
        await superuser.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await superuser.close()

        async def looked() -> bool:
            room.now += timedelta(hours=1)
            try:
                return await room.pool.fetchval("SELECT misses FROM custom_domains WHERE id = $1", domain_id) >= 3
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False

        assert await eventually(looked, timeout=30)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_names_whose_turn_it_is_are_found_by_an_index(database: Database) -> None:
    connection = await asyncpg.connect(database.superuser_dsn)
    try:
        await connection.execute("SET enable_seqscan = off")
        taken = watch.TAKE.replace("$1::timestamptz", "now()").replace("$1", "now()")
        plan = await connection.fetch(f"EXPLAIN {taken.replace('$2', chr(39) + '1 min' + chr(39)).replace('$3', '50')}")
    finally:
        await connection.close()
    assert "idx_domains_look" in "\n".join(row[0] for row in plan)
