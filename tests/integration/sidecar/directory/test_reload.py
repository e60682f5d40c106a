"""When the feed cannot be continued everything is read anew, the old answers standing meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import PLATFORM, Rows, Running, live_names, running

from embedded.database import Database
from sidecar.directory import snapshot
from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Entry, Unknown

Eventually = Callable[..., Awaitable[Any]]


async def behind_its_back(database: Database, statements: str) -> None:
    """Changes of rows that the feed does not tell of, as a restored backup is."""
    await database.postgres.execute(f"SET session_replication_role = replica; {statements}", database.name)


async def told(database: Database) -> None:
    """Cut its connection, as everything does that a restored server has behind it."""
    await database.postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{database.name}' AND usename = 'nameplate_sidecar'"
    )


CHANGED = """
    DELETE FROM custom_domains WHERE hostname = 'gone.test';
    UPDATE custom_domains SET status = 'verified' WHERE hostname = 'changed.test';
    INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, acme_label)
        SELECT id, 'new.test', 'token', now(), 'active', md5('new') FROM tenants LIMIT 1;
"""
REASONS = {
    "another_feed": "UPDATE feed SET id = gen_random_uuid()",
    "changes_pruned": "DELETE FROM changes;"
    " UPDATE feed SET pruned_xid = (pg_current_xact_id()::text::bigint - 1)::text::xid8",
    "server_lost_changes": "DELETE FROM changes WHERE id > 1",
    # What stands at the lost change's id now is another one.
    "server_lost_changes ": "UPDATE changes SET at = at - interval '1 s'",
}


@pytest.mark.parametrize("reason", REASONS)
async def test_a_feed_that_cannot_be_continued_is_read_anew_and_the_differences_told(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually, reason: str
) -> None:
    tenant = await rows.any_tenant()
    await rows.domains(["same.test", "gone.test", "changed.test"], tenant)
    await eventually(lambda: len(sidecar.held()) == 4)
    await behind_its_back(database, CHANGED + REASONS[reason])
    assert sidecar.directory.peek("gone.test")
    del sidecar.announced[:]

    await told(database)
    await eventually(lambda: sidecar.feed.intake.reloads == 2)
    assert sidecar.held() == await live_names(database) == sidecar.believed
    assert set().union(*sidecar.announced) == {"gone.test", "changed.test", "new.test"}

    await rows.domain("later.test")
    await eventually(lambda: sidecar.directory.peek("later.test"))
    assert sidecar.feed.intake.reloads == 2


async def test_a_position_ahead_of_the_server_is_read_anew(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """A backup was restored while the sidecar was away."""
    await rows.domain("old.test")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.directory.peek("old.test"))
        await rows.domain("lost.test")
        await eventually(lambda: sidecar.directory.peek("lost.test"))
    await behind_its_back(database, "DELETE FROM custom_domains WHERE hostname = 'lost.test'")
    # Transaction ids are the whole cluster's, so it is not the server that goes back here but the file that goes ahead.
    path = state_dir / "directory.snapshot"
    saved, saved_rows = snapshot.read(path, PLATFORM)
    xid = saved.position.head.xmin + 1_000_000
    ahead = replace(saved.position, head=replace(saved.position.head, xmin=xid, xmax=xid))
    await snapshot.write(path, replace(saved, position=ahead), saved_rows.values())
    async with running(database.sidecar_dsn, state_dir) as again:
        await eventually(lambda: again.feed.intake.reloads == 1)
        assert again.directory.lookup("lost.test") is Unknown.ABSENT
        assert again.held() == await live_names(database) == again.believed


async def test_live_names_are_answered_while_everything_is_read_anew(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    await rows.domains(f"s{n}.example.com" for n in range(5000))
    await eventually(lambda: len(sidecar.held()) == 5001)
    await behind_its_back(database, REASONS["another_feed"])
    await told(database)
    answers: set[str] = set()
    while sidecar.feed.intake.reloads == 1:
        for name in ("s0.example.com", "s4999.example.com", "unknown.example.com"):
            found = sidecar.directory.lookup(name)
            answers.add(f"{name} {'served' if isinstance(found, Entry) else found.value}")
        await asyncio.sleep(0)
    assert answers == {"s0.example.com served", "s4999.example.com served", "unknown.example.com absent"}


async def test_pruning_older_changes_than_the_last_one_read_is_no_reason(
    rows: Rows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    await rows.domain("a.test")
    xid = await rows.feed_xid()
    await rows.domain("b.test")
    await eventually(lambda: sidecar.directory.peek("b.test"))
    # Control prunes below every open transaction; this reader has moved on by the time that rows are a day old.
    await eventually(lambda: sidecar.feed.position > xid, timeout=10)
    await behind_its_back(database, f"DELETE FROM changes WHERE xid <= '{xid}'; UPDATE feed SET pruned_xid = '{xid}'")
    await rows.domain("c.test")
    await eventually(lambda: sidecar.directory.peek("c.test"))
    assert sidecar.feed.intake.reloads == 1


async def test_names_that_do_not_fit_make_it_incomplete_and_what_was_held_stays(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    await rows.domains([f"s{n}.test" for n in range(8)], tenant)
    async with running(database.sidecar_dsn, state_dir, capacity=10) as sidecar:
        # The first reading ends with this: whoever asked before it may have been told anything.
        await eventually(lambda: frozenset({ANY_NAME}) in sidecar.announced)
        assert sidecar.directory.complete
        assert len(sidecar.held()) == 9
        del sidecar.announced[:]
        await rows.domains(["s8.test", "s9.test"], tenant)
        await eventually(lambda: not sidecar.directory.complete)
        assert len(sidecar.directory) == 10
        assert sidecar.held().items() <= (await live_names(database)).items()
        assert frozenset({ANY_NAME}) not in sidecar.announced, "it was complete, so nobody was told anything wrong"
        for n in range(10):
            found = await sidecar.service.source.load(f"s{n}.test")
            assert found is not None
            assert found.hostname == f"s{n}.test"
        assert await sidecar.service.source.load("s10.test") is None

        await behind_its_back(database, REASONS["another_feed"])
        await told(database)
        await eventually(lambda: frozenset({ANY_NAME}) in sidecar.announced)


async def test_a_directory_that_never_fitted_is_filled_as_far_as_it_goes(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domains(f"s{n}.test" for n in range(3000))
    async with running(database.sidecar_dsn, state_dir, capacity=50) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert not sidecar.directory.complete
        assert len(sidecar.directory) == 50
        assert frozenset({ANY_NAME}) in sidecar.announced
        expected = await live_names(database)
        assert sidecar.held().items() <= expected.items()
        assert await sidecar.service.source.load("s2999.test") == expected["s2999.test"]


async def test_an_incomplete_directory_that_is_read_anew_keeps_the_names_in_use(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """Else every name in use would have to be loaded again, at once."""
    await rows.domains(f"s{n}.test" for n in range(300))
    async with running(database.sidecar_dsn, state_dir, capacity=20) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        in_use = [f"s{n}.test" for n in range(299, 279, -1)]
        for name in in_use:
            await sidecar.service.source.load(name)
        assert set(sidecar.held()) == set(in_use)
        await behind_its_back(
            database, REASONS["another_feed"] + "; DELETE FROM custom_domains WHERE hostname = 's299.test'"
        )
        await told(database)
        await eventually(lambda: sidecar.feed.intake.reloads == 2)
        assert set(in_use[1:]) <= set(sidecar.held())
        assert sidecar.held().items() <= (await live_names(database)).items()
        await eventually(lambda: frozenset({ANY_NAME}) in sidecar.announced)
        assert "s299.test" in set().union(*sidecar.announced)


async def test_what_was_read_before_everything_was_read_anew_and_is_not_held_is_not_believed_any_more(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    """A change of it may be among those that nobody will tell."""
    await rows.domains(f"s{n}.test" for n in range(300))
    async with running(database.sidecar_dsn, state_dir, capacity=20) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        sidecar.directory.remember({"absent.test": None, "*.test": None})
        assert sidecar.directory.lookup("absent.test") is Unknown.ABSENT
        with sidecar.directory.loading(("slow.test",)) as load:
            await behind_its_back(database, REASONS["another_feed"])
            await told(database)
            await eventually(lambda: sidecar.feed.intake.reloads == 2)
            assert load.overtaken
        assert sidecar.directory.lookup("absent.test") is Unknown.MISS
