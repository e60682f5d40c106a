"""The file of the directory: what is written is read, and nothing else is."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.directory.entry import Entry
from sidecar.directory.position import Head, Mark, Position
from sidecar.directory.snapshot import ENTRIES_A_LINE, Snapshot, SnapshotRefused, read, write

PLATFORM = "platform.test"
TEXT = st.text(max_size=20)
ENTRIES = st.builds(
    Entry,
    hostname=TEXT,
    tenant_id=TEXT,
    domain_id=TEXT,
    live=st.booleans(),
    fingerprint=st.none() | TEXT,
    vault_version=st.none() | st.integers(0, 2**31),
    not_after=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    platform=st.booleans(),
)
IDS = st.integers(0, 2**63 - 1)
POSITIONS = st.builds(
    lambda feed, xid, pruned, last_id, recent: Position(Head(feed, xid, xid, (), pruned), last_id, tuple(recent)),
    st.uuids().map(str),
    IDS,
    IDS,
    IDS,
    st.lists(st.builds(Mark, IDS, IDS, IDS), max_size=3),
)
SNAPSHOTS = st.builds(Snapshot, st.just(PLATFORM), st.booleans(), POSITIONS, st.lists(ENTRIES, max_size=5))


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "directory.snapshot"


def written(path: Path, snapshot: Snapshot) -> bytes:
    asyncio.run(write(path, snapshot, rest=0))
    return path.read_bytes()


def sample(entries: int = 3) -> Snapshot:
    rows = [Entry(f"s{n}.example.com", f"tenant {n}", f"d{n}", True, "ab" * 32, n, 1.5, False) for n in range(entries)]
    position = Position(Head("feed", 77, 77, (), 12), 5, (Mark(5, 70, 123),))
    return Snapshot(PLATFORM, True, position, rows)


@settings(max_examples=50)
@given(snapshot=SNAPSHOTS)
def test_what_is_written_is_read(path: Path, snapshot: Snapshot) -> None:
    written(path, snapshot)
    assert read(path, PLATFORM) == snapshot


def test_more_entries_than_fit_a_line(path: Path) -> None:
    snapshot = sample(2 * ENTRIES_A_LINE + 1)
    assert written(path, snapshot).count(b"\n") == 1 + 3 + 1
    assert read(path, PLATFORM) == snapshot


def test_a_position_is_kept_by_its_lower_end(path: Path) -> None:
    """So the transactions between are read again, which is harmless, and named in the next sighting."""
    snapshot = sample()
    head = Head("feed", 77, 99, (77, 80), 12)
    written(path, replace(snapshot, position=replace(snapshot.position, head=head)))
    assert read(path, PLATFORM).position == snapshot.position


def test_a_file_torn_at_any_byte_is_refused(path: Path) -> None:
    whole = written(path, sample())
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotRefused):
            read(path, PLATFORM)


def test_a_file_with_any_byte_changed_is_refused(path: Path) -> None:
    whole = written(path, sample(1))
    for at in range(len(whole)):
        for other in {whole[at] ^ 1, whole[at] ^ 0x80, ord("9"), ord("\n")} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
            with pytest.raises(SnapshotRefused):
                read(path, PLATFORM)


@given(junk=st.binary(min_size=1, max_size=200))
def test_bytes_after_the_end_are_refused(path: Path, junk: bytes) -> None:
    whole = written(path, sample(1))
    path.write_bytes(whole + junk)
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_without_another_error(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(header=JSON, lines=st.lists(JSON, max_size=3), data=st.data())
def test_any_json_is_refused_without_another_error(
    path: Path, header: object, lines: list[object], data: st.DataObject
) -> None:
    import json

    if data.draw(st.booleans(), "a header that begins well"):
        header = {
            "format": "nameplate-directory",
            "version": 1,
            "platform_domain": PLATFORM,
            "complete": True,
            "position": data.draw(
                st.fixed_dictionaries(
                    {}, optional=dict.fromkeys(("feed_id", "xid", "pruned_xid", "last_id", "recent"), JSON)
                )
            ),
        }
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


def test_another_platforms_file_and_another_versions_are_refused(path: Path) -> None:
    whole = written(path, sample())
    with pytest.raises(SnapshotRefused, match="another_platform"):
        read(path, "other.test")
    path.write_bytes(whole.replace(b'"version":1', b'"version":2'))
    with pytest.raises(SnapshotRefused, match="another_version"):
        read(path, PLATFORM)


def test_only_its_owner_may_read_the_file_and_nothing_else_is_left(path: Path) -> None:
    written(path, sample())
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_file_before_it(path: Path) -> None:
    before = written(path, sample())

    def rows() -> Iterator[Entry]:
        yield from sample().entries
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        asyncio.run(write(path, replace(sample(), entries=rows()), rest=0))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_an_interrupted_write_left_behind_is_in_nobodys_way(path: Path) -> None:
    left = path.with_name(path.name + ".new")
    left.write_bytes(b"half")
    left.chmod(0o644)
    written(path, sample())
    assert path.stat().st_mode & 0o777 == 0o600
    assert not left.exists()
