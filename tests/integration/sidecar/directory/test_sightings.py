"""What a sidecar says of its Envoys, by NOTIFY on a real PostgreSQL: in which words, and how soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import Rows, Running, rows_of, running

from core.feed import SIDECARS_CHANNEL, Rejected, Sighting, digest_of
from embedded.database import Database
from embedded.ports import free_port
from sidecar.directory.reached import Envoys

Eventually = Callable[..., Awaitable[Any]]
HOST = "shop.example.com"


class Scripted:
    """Two Envoys: one that answers at once, and one that does when it is told to. `marks`: in order."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.slow = 0
        self.without = Rejected()
        self.on_progress: Callable[[], None] = lambda: None

    def watch(self, on_progress: Callable[[], None]) -> None:
        self.on_progress = on_progress

    def mark(self, revision: int) -> None:
        self.marks.append(revision)
        self.on_progress()  # the quick one has moved on: the feed tells of it anyway

    def acknowledged(self) -> list[int]:
        return [self.marks[-1], self.slow]

    def rejected(self) -> Rejected:
        return self.without


@pytest.fixture
async def sightings(database: Database) -> AsyncIterator[list[Sighting]]:
    heard: list[Sighting] = []
    async with rows_of(database) as listener:
        await listener.connection.add_listener(
            SIDECARS_CHANNEL, lambda *notification: heard.append(Sighting.from_payload(notification[-1]))
        )
        yield heard


@pytest.fixture
def envoys(sidecar: Running) -> Scripted:
    scripted = Scripted()
    fits: Envoys = scripted
    sidecar.feed.accompany(fits)
    return scripted


async def changed(rows: Rows, status: str) -> int:
    return int(
        await rows.connection.fetchval(
            "UPDATE custom_domains SET status = $2 WHERE hostname = $1 RETURNING pg_current_xact_id()::text::bigint",
            HOST,
            status,
        )
    )


async def test_a_change_is_told_with_who_has_it_and_again_when_another_has(
    rows: Rows, sidecar: Running, envoys: Scripted, sightings: list[Sighting], eventually: Eventually
) -> None:
    await rows.domain(HOST, "verified")
    xid = await changed(rows, "active")
    await eventually(lambda: sightings and sightings[-1].has_seen(xid))
    assert (sightings[-1].connected, sightings[-1].acknowledged(xid)) == (2, 1)
    later = await changed(rows, "verified")
    await eventually(lambda: sightings[-1].has_seen(later))
    assert (sightings[-1].acknowledged(xid), sightings[-1].acknowledged(later)) == (1, 1)
    envoys.slow = envoys.marks[-1]
    envoys.on_progress()
    await eventually(lambda: sightings[-1].acknowledged(later) == 2, timeout=2)  # long before the next heartbeat
    assert sightings[-1].acknowledged(xid) == 2
    assert envoys.marks == sorted(envoys.marks)
    assert sidecar.feed.revision == envoys.marks[-1]


async def test_each_step_of_a_slow_one_proves_what_came_before_it(
    rows: Rows, envoys: Scripted, sightings: list[Sighting], eventually: Eventually
) -> None:
    await rows.domain(HOST, "verified")
    xids, marks = [], []
    for status in ("active", "verified", "active"):
        xids.append(xid := await changed(rows, status))
        await eventually(lambda xid=xid: sightings and sightings[-1].has_seen(xid))
        marks.append(envoys.marks[-1])
    for reached, mark in enumerate(marks):
        envoys.slow = mark
        envoys.on_progress()
        expected = [2 if step <= reached else 1 for step in range(3)]
        await eventually(lambda expected=expected: [sightings[-1].acknowledged(xid) for xid in xids] == expected)


async def test_a_long_open_transaction_keeps_no_acknowledgement_from_being_told(
    rows: Rows, database: Database, envoys: Scripted, sightings: list[Sighting], eventually: Eventually
) -> None:
    await rows.domain(HOST, "verified")
    async with rows_of(database) as slow, slow.connection.transaction():
        await slow.domain("slow.test")
        xid = await changed(rows, "active")
        await eventually(lambda: sightings and sightings[-1].has_seen(xid))
        assert sightings[-1].position <= xid
        assert sightings[-1].acknowledged(xid) == 1
        envoys.slow = envoys.marks[-1]
        envoys.on_progress()
        await eventually(lambda: sightings[-1].acknowledged(xid) == 2)


async def test_what_is_rejected_is_told(envoys: Scripted, sightings: list[Sighting], eventually: Eventually) -> None:
    envoys.without = Rejected({digest_of(HOST): 1})
    envoys.on_progress()
    await eventually(lambda: sightings and sightings[-1].rejected.of(HOST) == 1)
    assert sightings[-1].rejected.of("other.example.com") == 0
    envoys.without = Rejected()
    envoys.on_progress()
    await eventually(lambda: sightings[-1].rejected.of(HOST) == 0)


async def test_without_envoys_to_speak_of_none_are_told_of(
    rows: Rows, sidecar: Running, sightings: list[Sighting], eventually: Eventually
) -> None:
    """Until its discovery streams are made, a sidecar does not know."""
    await rows.domain(HOST, "verified")
    await eventually(lambda: bool(sightings))
    assert sightings[-1].envoys is None


async def test_news_that_changes_nothing_is_not_told_again(
    rows: Rows, sidecar: Running, envoys: Scripted, sightings: list[Sighting], eventually: Eventually
) -> None:
    await rows.domain(HOST, "verified")
    xid = await changed(rows, "active")
    await eventually(lambda: sightings and sightings[-1].has_seen(xid))
    told, reads = len(sightings), sidecar.feed.reads
    for _ in range(5):
        envoys.on_progress()
        await eventually(lambda reads=reads: sidecar.feed.reads > reads)
        reads = sidecar.feed.reads
    assert len(sightings) <= told + 1  # a heartbeat may come in between


async def test_why_the_feed_cannot_be_read_is_said_as_long_as_it_cannot(
    sidecar: Running, state_dir: Path, eventually: Eventually
) -> None:
    assert sidecar.feed.last_error is None
    nobody = f"postgresql://nameplate_sidecar:secret-word@127.0.0.1:{free_port()}/none"
    async with running(nobody, state_dir / "other") as lost:
        await eventually(lambda: lost.feed.last_error)
        assert lost.feed.last_error is not None
        assert lost.feed.last_error.startswith("ConnectionRefusedError")
        assert "secret-word" not in lost.feed.last_error
