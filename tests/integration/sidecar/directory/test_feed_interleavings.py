"""Any interleaving of real transactions that take their id early and commit late, with the listener cut in between."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes.directory import Rows, Running, Schedule, live_names, running

from embedded.database import Database

WRITERS = 3
# Each writer has names of its own: two that wait for each other's row locks would be another test.
KEYS = ("a", "b", "*")

STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, WRITERS - 1)),
    st.tuples(
        st.just("put"), st.integers(0, WRITERS - 1), st.sampled_from(KEYS), st.sampled_from(["verified", "active"])
    ),
    st.tuples(st.just("delete"), st.integers(0, WRITERS - 1), st.sampled_from(KEYS)),
    st.tuples(st.just("tenant"), st.integers(0, WRITERS - 1)),
    st.tuples(st.just("end"), st.integers(0, WRITERS - 1), st.booleans()),
    st.tuples(st.just("cut")),
    st.tuples(st.just("let it read")),
)

TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'nameplate_sidecar'"""


async def settled(sidecar: Running, database: Database, *, within: float = 10) -> None:
    """The directory, and what its consumers were told, are the tables."""
    expected = await live_names(database)
    end = time.monotonic() + within
    while not (sidecar.held() == expected == sidecar.believed):
        assert time.monotonic() < end, (sidecar.held(), sidecar.believed, expected)
        await asyncio.sleep(0.005)


async def play(database: Database, steps: list[tuple[object, ...]]) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    connections = [await asyncpg.connect(database.control_dsn) for _ in range(WRITERS)]
    writers = [Rows(connection) for connection in connections]
    schedule = Schedule(writers)
    tenants = [await writer.any_tenant() for writer in writers]
    with tempfile.TemporaryDirectory() as state_dir:
        async with running(database.sidecar_dsn, Path(state_dir)) as sidecar:
            await settled(sidecar, database)
            for step in steps:
                match step:
                    case ("begin", int(writer)):
                        await schedule.begin(writer)
                    case ("put", int(writer), str(key), str(status)):
                        hostname = f"{key}.w{writer}.test"
                        updated = await connections[writer].fetch(
                            "UPDATE custom_domains SET status = $2 WHERE hostname = $1 AND deleted_at IS NULL"
                            " RETURNING id",
                            hostname,
                            status,
                        )
                        if not updated:
                            await writers[writer].domain(hostname, status, tenants[writer])
                    case ("delete", int(writer), str(key)):
                        await writers[writer].delete(f"{key}.w{writer}.test")
                    case ("tenant", int(writer)):
                        await writers[writer].any_tenant()
                    case ("end", int(writer), bool(commit)):
                        await schedule.end(writer, commit=commit)
                    case ("cut",):
                        await superuser.execute(TERMINATE)
                    case ("let it read",):
                        reads = sidecar.feed.reads
                        await connections[0].execute("SELECT pg_notify('nameplate_changes', '')")
                        end = time.monotonic() + 0.2
                        while sidecar.feed.reads == reads and time.monotonic() < end:
                            await asyncio.sleep(0.001)
            await schedule.end_all()
            await settled(sidecar, database)
            assert sidecar.feed.intake.reloads == 1, "it was right only because it read everything anew"
    for connection in (superuser, *connections):
        await connection.close()


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
def test_once_all_have_committed_the_directory_is_the_table(
    database: Database, steps: list[tuple[object, ...]]
) -> None:
    """The examples share one database, so each begins with the rows of those before it."""
    asyncio.run(play(database, steps))
