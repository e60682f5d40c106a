"""Whatever rows the directory held, and whatever rows there are when it is read anew: it ends up with the table."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes.directory import PLATFORM, Rows, Running, live_names, running

from embedded.database import Database
from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Entry, Unknown

NAMES = ("a.x", "b.x", "*.x", "c.y", "*.y")
Table = dict[str, tuple[str, bool, str] | None]
# Per name: no row, or its status, whether it has a certificate, and which registration it is.
TABLES = st.fixed_dictionaries(
    {
        name: st.none() | st.tuples(st.sampled_from(["verified", "active"]), st.booleans(), st.sampled_from("12"))
        for name in NAMES
    }
)
# Nothing fits, some, all but one at times, everything.
CAPACITIES = st.sampled_from([1, 3, 5, 100])


async def write(rows: Rows, table: Table) -> None:
    """The rows are these now, and no change says so."""
    await rows.connection.execute(
        "UPDATE custom_domains SET certificate_id = NULL; DELETE FROM certificates; DELETE FROM custom_domains"
    )
    for name, row in table.items():
        if row is not None:
            status, certified, registration = row
            await rows.connection.execute(
                """INSERT INTO custom_domains (id, tenant_id, hostname, verification_token, verify_deadline,
                                               status, acme_label)
                   SELECT md5($1::text || $3::text)::uuid, id, $1, 'token', now(), $2, md5($1::text) FROM tenants""",
                name,
                status,
                registration,
            )
            if certified:
                await rows.certificate(name, "ab" * 32)
    await rows.connection.execute("UPDATE feed SET id = gen_random_uuid()")
    await rows.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'nameplate_sidecar'"
    )


async def until(predicate: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not predicate():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def ended(before: dict[str, Entry], after: dict[str, Entry]) -> set[str]:
    return {row.domain_id for name, row in before.items() if row.domain_id and row.ended(after.get(name))}


async def play(database: Database, first: Table, then: Table, capacity: int, asked: list[str]) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    await superuser.execute("SET session_replication_role = replica")
    rows = Rows(superuser)
    await superuser.execute("INSERT INTO tenants (slug) VALUES ('acme') ON CONFLICT DO NOTHING")
    await write(rows, first)
    with tempfile.TemporaryDirectory() as state_dir:
        async with running(database.sidecar_dsn, Path(state_dir), capacity=capacity) as sidecar:
            await until(lambda: sidecar.feed.intake.reloads == 1)
            for host in asked:
                await sidecar.service.source.load(host)
            before, held = await live_names(database), sidecar.held()
            assert held.items() <= before.items()
            assert sidecar.directory.complete is (len(before) <= capacity)
            assert len(held) == min(len(before), capacity)
            del sidecar.announced[:], sidecar.ended[:]

            await write(rows, then)
            await until(lambda: sidecar.feed.intake.reloads == 2 and sidecar.feed.reads >= 2)
            after = await live_names(database)
            await check(sidecar, before, held, after, capacity)
    await superuser.close()


async def check(
    sidecar: Running, before: dict[str, Entry], held: dict[str, Entry], after: dict[str, Entry], capacity: int
) -> None:
    directory, announced = sidecar.directory, set().union(*sidecar.announced)
    complete_before = len(before) <= capacity
    assert directory.complete is (len(after) <= capacity)
    assert sidecar.held().items() <= after.items()
    assert len(directory) == min(len(after), capacity)
    # Told: whatever it held and is not so any more; and of any name, unless it knew them all, and knows them now.
    assert {name for name, row in held.items() if after.get(name) != row} <= announced
    assert (ANY_NAME in announced) is not (complete_before and directory.complete)
    if ANY_NAME not in announced:
        assert announced == {name for name in before | after if before.get(name) != after.get(name)}
    assert ended(held, after) == set().union(*sidecar.ended)
    for host in ("a.x", "z.x", "c.y", "z.y", "acme." + PLATFORM, "none.z"):
        found = directory.find(host)
        row = after.get(host) or after.get("*." + host.partition(".")[2])
        assert found is Unknown.MISS or (None if found is Unknown.ABSENT else found) == row
        assert await sidecar.service.source.load(host) == row


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(first=TABLES, then=TABLES, capacity=CAPACITIES, asked=st.lists(st.sampled_from(["a.x", "z.x", "c.y", "none.z"])))
def test_read_anew_it_is_the_table_and_tells_what_is_different(
    database: Database, first: Table, then: Table, capacity: int, asked: list[str]
) -> None:
    asyncio.run(play(database, first, then, capacity, asked))
