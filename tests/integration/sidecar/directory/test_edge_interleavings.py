"""Any interleaving of real transactions on the edge's tables, with cuts, reloads and restarts in between."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes.directory import Rows, Running, Schedule, running
from scenes.edges import EdgeRows, stored

from embedded.database import Database
from sidecar.edge.model import Edge
from sidecar.edge.secrets import changed_secrets

WRITERS = 3
# Each writer has rows of its own: two that wait for each other's row locks would be another test.
WRITER = st.integers(0, WRITERS - 1)
STEPS = st.one_of(
    st.tuples(st.just("begin"), WRITER),
    st.tuples(st.just("service"), WRITER, st.integers(1, 3)),
    st.tuples(st.just("no service"), WRITER),
    st.tuples(st.just("trust"), WRITER, st.integers(0, 2)),
    st.tuples(st.just("identity"), WRITER, st.integers(1, 3)),
    st.tuples(st.just("client auth"), WRITER, st.integers(0, 2)),
    st.tuples(st.just("no client auth"), WRITER),
    st.tuples(st.just("name below"), WRITER, st.booleans()),
    st.tuples(st.just("consumer"), WRITER, st.sampled_from("ab")),
    st.tuples(st.just("end"), WRITER, st.booleans()),
    st.tuples(st.just("cut")),
    st.tuples(st.just("anew")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("let it read")),
)

TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'nameplate_sidecar'"""


class Consumer:
    """Holds what it was told of and nothing else: the secrets by name, made anew when their name is said."""

    def __init__(self) -> None:
        self.last: Edge | None = None
        self.secrets: dict[str, object] = {}

    def told(self, before: Edge | None, now: Edge) -> None:
        assert before == self.last != now
        self.last = now
        current = held(now)
        for name in changed_secrets(before, now):
            self.secrets.pop(name, None)
            if name in current:
                self.secrets[name] = current[name]


def held(edge: Edge) -> dict[str, object]:
    return {
        **{f"upstream/{name}": one for name, one in edge.identities.items()},
        **{f"upstream-ca/{name}": pem for name, pem in edge.trust.items()},
        **{f"client-ca/{domain}": auth for domain, auth in edge.client_auth.items()},
    }


async def settled(sidecar: Running, consumer: Consumer, database: Database) -> None:
    expected = await stored(database)
    end = time.monotonic() + 20
    while not (sidecar.service.edge.current == expected and consumer.secrets == held(expected)):
        assert time.monotonic() < end, (sidecar.service.edge.current, expected)
        await asyncio.sleep(0.005)


async def play(database: Database, steps: list[tuple[object, ...]]) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    connections = [await asyncpg.connect(database.control_dsn) for _ in range(WRITERS)]
    writers = [EdgeRows(connection) for connection in connections]
    schedule = Schedule([Rows(connection) for connection in connections])
    tenants = [await Rows(connection).any_tenant() for connection in connections]
    # The first writer's domain is a wildcard, below which each has a name.
    hostnames = [f"{'*.' * (not writer)}{tenants[0]}-{writer}.test" for writer in range(WRITERS)]
    below = [f"{writer}.{hostnames[0][2:]}" for writer in range(WRITERS)]
    domains = [
        await Rows(connection).domain(hostname, tenant=tenant)
        for connection, hostname, tenant in zip(connections, hostnames, tenants, strict=True)
    ]
    for connection, name, tenant in zip(connections, below, tenants, strict=True):
        await Rows(connection).domain(name, "pending", tenant=tenant)
    with tempfile.TemporaryDirectory() as state_dir:
        async with AsyncExitStack() as sidecars:

            async def start() -> tuple[Running, Consumer]:
                sidecar, consumer = (
                    await sidecars.enter_async_context(running(database.sidecar_dsn, Path(state_dir))),
                    Consumer(),
                )
                sidecar.service.edge.subscribe(consumer.told)
                return sidecar, consumer

            sidecar, consumer = await start()
            await settled(sidecar, consumer, database)
            for step in steps:
                match step:
                    case ("begin", int(writer)):
                        await schedule.begin(writer)
                    case ("service", int(writer), int(port)):
                        await writers[writer].service(f"s{writer}", port)
                    case ("no service", int(writer)):
                        await writers[writer].remove("services", "name", f"s{writer}")
                    case ("trust", int(writer), int(number)):
                        await writers[writer].trust(f"t{writer}", number)
                    case ("identity", int(writer), int(version)):
                        await writers[writer].identity(f"i{writer}", version)
                    case ("client auth", int(writer), int(number)):
                        await writers[writer].client_auth(domains[writer], number=number)
                    case ("no client auth", int(writer)):
                        await writers[writer].remove("client_auth", "domain_id", domains[writer])
                    case ("name below", int(writer), bool(live)):
                        await Rows(connections[writer]).status(below[writer], "active" if live else "failed")
                    case ("consumer", int(writer), str(value)):
                        await writers[writer].consumer(tenants[writer], "partner", value)
                    case ("end", int(writer), bool(commit)):
                        await schedule.end(writer, commit=commit)
                    case ("cut",):
                        await superuser.execute(TERMINATE)
                    case ("anew",):
                        await superuser.execute("UPDATE feed SET id = gen_random_uuid()")
                    case ("restart",):  # it takes up its snapshot
                        await sidecars.aclose()
                        sidecar, consumer = await start()
                    case ("let it read",):
                        reads = sidecar.feed.reads
                        await superuser.execute("SELECT pg_notify('nameplate_changes', '')")
                        end = time.monotonic() + 0.2
                        while sidecar.feed.reads == reads and time.monotonic() < end:
                            await asyncio.sleep(0.001)
            await schedule.end_all()
            await settled(sidecar, consumer, database)
    for connection in (superuser, *connections):
        await connection.close()


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
def test_once_all_have_committed_the_edge_is_the_tables_and_so_is_what_was_told(
    database: Database, steps: list[tuple[object, ...]]
) -> None:
    """The examples share one database, so each begins with the rows of those before it."""
    asyncio.run(play(database, steps))
