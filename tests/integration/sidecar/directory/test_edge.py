"""The edge follows PostgreSQL as a whole: nothing is missed, nothing is claimed early, and a bad row takes no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from scenes.directory import PLATFORM, Rows, Running, running
from scenes.edges import EdgeRows, sample, stored

from core.feed import SIDECARS_CHANNEL, Sighting
from embedded.database import Database
from embedded.ports import free_port
from sidecar.edge import snapshot
from sidecar.edge.model import SERVICE, Edge
from sidecar.edge.saver import FILE_NAME

Eventually = Callable[..., Awaitable[Any]]

TERMINATE = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'nameplate_sidecar'"""

WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'services'::regclass AND NOT granted"


async def follows(sidecar: Running, database: Database, eventually: Eventually) -> None:
    expected = await stored(database)
    await eventually(lambda: sidecar.service.edge.current == expected, timeout=10)


async def test_an_empty_database_is_an_edge_too(sidecar: Running) -> None:
    assert sidecar.service.edge.current == Edge()


async def test_every_kind_of_row_comes_changes_and_goes(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    domain = await rows.domain("m.test", tenant=tenant)
    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: edge_rows.trust("default"),
        lambda: edge_rows.identity("default"),
        lambda: edge_rows.service("default", tls={"names": ["app.internal"]}),
        lambda: edge_rows.service("shop"),
        lambda: edge_rows.choice(tenant, None, "shop"),
        lambda: edge_rows.choice(tenant, domain, "default"),
        lambda: edge_rows.client_auth(domain),
        lambda: edge_rows.consumer(tenant, "partner", "p.test", "gold"),
        lambda: edge_rows.trust("default", 1),
        lambda: edge_rows.identity("default", 2, "cd" * 32),
        lambda: edge_rows.service("shop", 9090),
        lambda: edge_rows.choice(tenant, domain, "shop"),
        lambda: edge_rows.client_auth(domain, "optional", 2, crl=True),
        lambda: edge_rows.consumer(tenant, "partner", "p.test", "silver"),
        lambda: edge_rows.remove("consumers", "name", "partner"),
        lambda: edge_rows.remove("client_auth", "domain_id", domain),
        lambda: edge_rows.remove("service_choices", "domain_id", domain),
        lambda: edge_rows.remove("service_choices", "tenant_id", tenant),
        lambda: edge_rows.remove("services", "name", "shop"),
        lambda: edge_rows.remove("identities", "name", "default"),
    ]
    for step in steps:
        before = sidecar.service.edge.revision
        await step()
        await follows(sidecar, database, eventually)
        assert sidecar.service.edge.revision == before + 1
    assert sidecar.feed.intake.reloads == 1


async def test_client_authentication_goes_with_its_domain(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    domain = await rows.domain("m.test")
    await edge_rows.client_auth(domain)
    await eventually(lambda: str(domain) in sidecar.service.edge.current.client_auth)
    await rows.delete("m.test")
    await eventually(lambda: not sidecar.service.edge.current.client_auth)


async def test_client_authentication_is_known_before_a_change_of_its_domain_is_told(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    """Both come in one transaction: whoever looks when told of the domain sees what is asked of its clients."""
    seen: list[bool] = []
    domain = await rows.domain("m.test")
    await eventually(lambda: "m.test" in sidecar.believed)
    edge = sidecar.service.edge
    sidecar.feed.subscribe(lambda names: seen.append(str(domain) in edge.current.client_auth))
    await edge_rows.client_auth(domain)
    await eventually(lambda: seen)
    assert all(seen)


async def test_a_row_that_cannot_be_read_is_left_out_and_the_others_are_not(
    edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    await edge_rows.service("good")
    await edge_rows.connection.execute("INSERT INTO services (name, spec) VALUES ('bad', '{}'), ('worse', '[1]')")
    table = sidecar.service.edge
    await eventually(lambda: len(table.current.left_out) == 2)
    assert set(table.current.services) == {"good"}
    assert table.current.left_out[SERVICE, "bad"].startswith("missing_field")
    assert sidecar.service.edge_stats().left_out[SERVICE] == 2
    await edge_rows.service("bad")
    await edge_rows.remove("services", "name", "worse")
    await eventually(lambda: not table.current.left_out)


async def test_nothing_is_told_when_nothing_is_different_after_the_connection_was_cut(
    edge_rows: EdgeRows, sidecar: Running, superuser: asyncpg.Connection[Any], eventually: Eventually
) -> None:
    await edge_rows.service("shop")
    await eventually(lambda: sidecar.service.edge.current.services)
    revision, edge, loads = sidecar.service.edge.revision, sidecar.service.edge.current, sidecar.service.edge.loads
    await superuser.execute(TERMINATE)
    await eventually(lambda: sidecar.service.edge.loads > loads)
    assert sidecar.service.edge.revision == revision
    assert sidecar.service.edge.current is edge


async def test_what_changed_without_a_word_is_read_after_the_connection_was_cut(
    edge_rows: EdgeRows,
    sidecar: Running,
    database: Database,
    superuser: asyncpg.Connection[Any],
    eventually: Eventually,
) -> None:
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("INSERT INTO services (name, spec) VALUES ('shop', $1)", json.dumps({"addresses": [
        {"host": "127.0.0.1", "port": 1}]}))  # fmt: skip
    await superuser.execute(TERMINATE)
    await eventually(lambda: "shop" in sidecar.service.edge.current.services)


async def test_a_change_is_claimed_once_it_is_applied_and_not_before(
    rows: Rows,
    edge_rows: EdgeRows,
    sidecar: Running,
    superuser: asyncpg.Connection[Any],
    eventually: Eventually,
) -> None:
    sightings: list[Sighting] = []
    await rows.connection.add_listener(
        SIDECARS_CHANNEL, lambda *notification: sightings.append(Sighting.from_payload(notification[-1]))
    )
    async with superuser.transaction():
        await superuser.execute("LOCK TABLE services IN ACCESS EXCLUSIVE MODE")  # so the sidecar cannot read it
        async with edge_rows.connection.transaction():
            await edge_rows.trust("roots")
            xid = await edge_rows.connection.fetchval("SELECT pg_current_xact_id()::text::bigint")

        async def reads_in_vain() -> bool:
            return bool(await edge_rows.connection.fetchval(WAITING))

        await eventually(reads_in_vain, timeout=10)
        assert not any(sighting.has_seen(xid) for sighting in sightings)
        assert not sidecar.service.edge.current.trust
    await eventually(lambda: any(sighting.has_seen(xid) for sighting in sightings), timeout=10)
    assert "roots" in sidecar.service.edge.current.trust


async def test_a_burst_of_changes_is_read_a_few_times(
    edge_rows: EdgeRows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    before = sidecar.service.edge.loads
    for number in range(300):
        await edge_rows.service("shop", 1000 + number)
    await follows(sidecar, database, eventually)
    assert sidecar.service.edge.loads - before < 150


async def test_thousands_of_changes_at_once_are_applied_and_end_equal(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    """More than are read in one go."""
    tenant = await rows.any_tenant()
    before = sidecar.service.edge.loads
    async with rows.connection.transaction():
        for number in range(1200):
            await edge_rows.service(f"s{number % 7}", 1000 + number)
        await rows.domains((f"d{number}.test" for number in range(100)), tenant)
    await follows(sidecar, database, eventually)
    await eventually(lambda: len(sidecar.believed) == 101)
    assert sidecar.service.edge.loads - before <= 3
    assert sidecar.feed.intake.reloads == 1


# --- the snapshot


async def test_a_sidecar_that_starts_while_postgresql_is_down_knows_the_edge_of_before(
    rows: Rows, edge_rows: EdgeRows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    domain = await rows.domain("m.test")
    await edge_rows.service("default")
    await edge_rows.client_auth(domain, crl=True)
    expected = await stored(database)
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually((state_dir / FILE_NAME).exists)
        await eventually(lambda: sidecar.service.edge.current == expected)
    async with running(f"postgresql://nobody@127.0.0.1:{free_port()}/none", state_dir) as again:
        await eventually(lambda: again.service.edge.current == expected)
        assert str(domain) in again.service.edge.current.client_auth


@pytest.mark.parametrize("harm", ["torn", "gone", "other_platform"])
async def test_without_a_whole_snapshot_nothing_is_known_rather_than_nothing_asked(
    state_dir: Path, harm: str, eventually: Eventually
) -> None:
    path = state_dir / FILE_NAME
    await snapshot.write(path, "other.test" if harm == "other_platform" else PLATFORM, sample(), rest=0)
    if harm == "torn":
        path.write_bytes(path.read_bytes()[:-40])
    if harm == "gone":
        path.unlink()
    async with running(f"postgresql://nobody@127.0.0.1:{free_port()}/none", state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.failures > 0)
        assert sidecar.service.edge.current is None
        assert not sidecar.service.edge_stats().loaded


async def test_a_database_without_the_views_leaves_the_edge_unknown_until_it_has_them(
    database: Database, superuser: asyncpg.Connection[Any], state_dir: Path, eventually: Eventually
) -> None:
    """A sidecar that is newer than the database's migrations."""
    await superuser.execute("ALTER VIEW client_auth_v1 RENAME TO not_yet")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.failures > 1)
        assert sidecar.service.edge.current is None
        await superuser.execute("ALTER VIEW not_yet RENAME TO client_auth_v1")
        await eventually(lambda: sidecar.service.edge.current == Edge(), timeout=10)


async def test_a_consumer_that_fails_keeps_nobody_from_the_news(
    edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    told: list[Edge] = []

    def fails(_before: Edge | None, _now: Edge) -> None:
        raise RuntimeError

    sidecar.service.edge.subscribe(fails)
    sidecar.service.edge.subscribe(lambda _before, now: told.append(now))
    await edge_rows.service("shop")
    await eventually(lambda: told)
    await asyncio.sleep(0)
    assert told[-1] is sidecar.service.edge.current
