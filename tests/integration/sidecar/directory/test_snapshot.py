"""A restarted sidecar takes up its snapshot and reads only what changed since."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import PLATFORM, Rows, live_names, running

from embedded.database import Database
from sidecar.directory import saver, snapshot
from sidecar.directory.entry import Unknown

Eventually = Callable[..., Awaitable[Any]]


async def test_a_restarted_sidecar_reads_only_what_changed_meanwhile(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domains(["same.test", "gone.test"])
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
    await rows.delete("gone.test")
    await rows.domain("new.test")
    async with running(database.sidecar_dsn, state_dir) as again:
        await eventually(lambda: again.feed.reads > 0)
        assert again.held() == await live_names(database) == again.believed
        assert again.feed.intake.reloads == 0
        # Transactions at and above the saved position are read again, and may be among those saved.
        assert again.feed.intake.changes <= 6


async def test_changes_of_a_transaction_that_was_open_when_it_was_saved_are_not_missed(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    transaction = rows.connection.transaction()
    await transaction.start()
    await rows.domain("slow.test")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert sidecar.directory.lookup("slow.test") is Unknown.ABSENT
    await transaction.commit()
    async with running(database.sidecar_dsn, state_dir) as again:
        await eventually(lambda: again.directory.peek("slow.test"))
        assert again.feed.intake.reloads == 0


async def test_nothing_is_written_when_nothing_changed(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domain("shop.test")
    path = state_dir / saver.FILE_NAME
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        await eventually(path.exists)
        assert not await sidecar.service.saver.save()
        first = path.stat()
        await rows.domain("other.test")
        await eventually(lambda: sidecar.directory.peek("other.test"))
        await eventually(sidecar.service.saver.save)  # the position follows the rows
        assert path.stat().st_ino != first.st_ino
        assert sidecar.service.stats().snapshot_saves == 2


async def test_a_sidecar_that_is_killed_soon_after_its_start_has_a_snapshot(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domain("shop.test")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        path = state_dir / saver.FILE_NAME
        await eventually(path.exists)
        assert snapshot.read(path, PLATFORM)[1] == sidecar.held()


async def test_an_incomplete_directory_stays_so_after_a_restart(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domains(f"s{n}.test" for n in range(20))
    async with running(database.sidecar_dsn, state_dir, capacity=5) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        held = sidecar.held()
    async with running("postgresql://nobody@127.0.0.1:1/none", state_dir, capacity=5) as again:
        await eventually(lambda: again.directory.loaded)
        assert again.held() == held
        assert again.directory.lookup("unheard-of.test") is Unknown.MISS


async def test_a_complete_snapshot_above_a_smaller_capacity_is_no_complete_directory(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domains(f"s{n}.test" for n in range(20))
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
    async with running("postgresql://nobody@127.0.0.1:1/none", state_dir, capacity=5) as again:
        await eventually(lambda: again.directory.loaded)
        assert not again.directory.complete
        assert len(again.directory) == 5


@pytest.mark.parametrize("spoil", ["torn", "empty", "foreign", "a directory"])
async def test_a_file_that_cannot_be_used_is_ignored_with_its_reason(
    rows: Rows,
    database: Database,
    state_dir: Path,
    eventually: Eventually,
    capfd: pytest.CaptureFixture[str],
    spoil: str,
) -> None:
    await rows.domain("shop.test")
    path = state_dir / saver.FILE_NAME
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
    whole = path.read_bytes()
    match spoil:
        case "torn":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            path.write_bytes(whole.replace(PLATFORM.encode(), b"elsewhere.test"))
        case _:
            path.unlink()
            path.mkdir()
    async with running(database.sidecar_dsn, state_dir) as again:
        await eventually(lambda: again.feed.reads > 0)
        assert again.feed.intake.reloads == 1
        assert again.held() == await live_names(database)
    assert "snapshot_refused" in "".join(capfd.readouterr())


async def test_a_state_directory_that_cannot_be_written_is_counted_and_logged(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    (state_dir / "file").write_text("in the way")
    await rows.domain("shop.test")
    async with running(database.sidecar_dsn, state_dir / "file" / "below") as sidecar:
        await eventually(lambda: sidecar.service.stats().snapshot_failures == 1)
        await rows.domain("other.test")
        await eventually(lambda: sidecar.directory.peek("other.test"))


async def test_the_file_holds_no_more_than_the_data_path_may_know(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    await rows.domain("shop.test", "verified")
    await rows.challenge("shop.test", "secret-token")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        path = state_dir / saver.FILE_NAME
        await eventually(path.exists)
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"secret-token" not in path.read_bytes()
        assert set(snapshot.read(path, PLATFORM)[1]) == set(sidecar.held())
