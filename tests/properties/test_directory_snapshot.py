"""The file of the directory: what is written is read, and nothing else is."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import stat
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.directory.entry import FIELDS, Entry
from sidecar.directory.position import Head, Mark, Position
from sidecar.directory.rows import Everything
from sidecar.directory.snapshot import ROWS_A_BLOCK, Snapshot, SnapshotRefused, read, write

PLATFORM = "platform.test"
UUIDS = st.uuids().map(str)
HOSTNAMES = st.text("abcz09-.*", min_size=1, max_size=60)
CERTIFICATES = st.tuples(
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.none() | st.integers(1, 2**31 - 1),
    st.none() | st.floats(allow_nan=False),
)
DOMAINS = st.builds(
    lambda hostname, tenant, domain, live, certificate, uploaded, client_auth: Entry(
        hostname, tenant, domain, live, *certificate, False, uploaded and certificate[0] is not None, client_auth
    ),
    HOSTNAMES,
    UUIDS,
    UUIDS,
    st.booleans(),
    st.just((None, None, None)) | CERTIFICATES,
    st.booleans(),
    st.booleans(),
)
SUBDOMAINS = st.builds(lambda name, tenant: Entry(name, tenant, "", True, None, None, None, True), HOSTNAMES, UUIDS)
ENTRIES = DOMAINS | SUBDOMAINS
IDS = st.integers(0, 2**63 - 1)
POSITIONS = st.builds(
    lambda feed, xid, pruned, last_id, recent: Position(Head(feed, xid, xid, (), pruned), last_id, tuple(recent)),
    UUIDS,
    IDS,
    IDS,
    IDS,
    st.lists(st.builds(Mark, IDS, IDS, IDS), max_size=3),
)
SNAPSHOTS = st.builds(Snapshot, st.just(PLATFORM), st.booleans(), POSITIONS)


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "directory.snapshot"


def written(path: Path, snapshot: Snapshot, rows: Iterable[Entry]) -> bytes:
    asyncio.run(write(path, snapshot, rows, rest=0))
    return path.read_bytes()


POSITION = Position(Head("feed", 77, 77, (), 12), 5, (Mark(5, 70, 123),))
SNAPSHOT = Snapshot(PLATFORM, True, POSITION)


def sample(count: int = 3) -> Everything:
    tenant, domain = "7b0f2a52-6a9c-4f0c-9a51-000000000001", "d0000000-0000-0000-0000-000000000001"
    names = [f"s{n}.example.com" for n in range(count)]
    return Everything({name: Entry(name, tenant, domain, True, "ab" * 32, 1, 1.5, False) for name in names})


def sealed(body: bytes) -> bytes:
    """A file with a checksum that is right."""
    return body + hashlib.sha256(body).digest()


def header() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder) / "f", SNAPSHOT, ()).split(b"\n")[0] + b"\n"


@settings(max_examples=50)
@given(snapshot=SNAPSHOTS, rows=st.lists(ENTRIES, max_size=5))
def test_what_is_written_is_read(path: Path, snapshot: Snapshot, rows: list[Entry]) -> None:
    written(path, snapshot, rows)
    assert read(path, PLATFORM) == (snapshot, {row.hostname: row for row in rows})


def test_more_rows_than_fit_a_block(path: Path) -> None:
    rows = sample(2 * ROWS_A_BLOCK + 1)
    whole = written(path, SNAPSHOT, rows.values())
    assert struct.pack("!I", ROWS_A_BLOCK) in whole
    assert read(path, PLATFORM) == (SNAPSHOT, rows)


def test_a_position_is_kept_by_its_lower_end(path: Path) -> None:
    """So the transactions between are read again, which is harmless, and named in the next sighting."""
    head = Head("feed", 77, 99, (77, 80), 12)
    written(path, replace(SNAPSHOT, position=replace(POSITION, head=head)), ())
    assert read(path, PLATFORM)[0].position == POSITION


def test_a_file_torn_at_any_byte_is_refused(path: Path) -> None:
    whole = written(path, SNAPSHOT, sample().values())
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotRefused):
            read(path, PLATFORM)


def test_a_file_with_any_byte_changed_is_refused(path: Path) -> None:
    whole = written(path, SNAPSHOT, sample(1).values())
    for at in range(len(whole)):
        for other in {whole[at] ^ 1, whole[at] ^ 0x80, ord("9"), ord("\n")} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
            with pytest.raises(SnapshotRefused):
                read(path, PLATFORM)


@given(junk=st.binary(min_size=1, max_size=200))
def test_bytes_after_the_end_are_refused(path: Path, junk: bytes) -> None:
    whole = written(path, SNAPSHOT, sample(1).values())
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


@given(header=JSON, data=st.data())
def test_any_header_is_refused_without_another_error(path: Path, header: object, data: st.DataObject) -> None:
    if data.draw(st.booleans(), "a header that begins well"):
        header = {
            "format": "nameplate-directory",
            "version": 3,
            "platform_domain": PLATFORM,
            "complete": True,
            "position": data.draw(
                st.fixed_dictionaries(
                    {}, optional=dict.fromkeys(("feed_id", "xid", "pruned_xid", "last_id", "recent"), JSON)
                )
            ),
        }
    path.write_bytes(sealed(json.dumps(header).encode() + b"\n"))
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


@given(rows=st.lists(st.binary(max_size=90), min_size=1, max_size=4), lie=st.integers(-2, 2))
def test_rows_that_are_none_are_refused_without_another_error_whatever_the_checksum_says(
    path: Path, rows: list[bytes], lie: int
) -> None:
    count = max(0, len(rows) + lie)
    lengths = struct.pack(f"!{len(rows)}H", *map(len, rows))
    body = header() + struct.pack("!I", count) + lengths + b"".join(rows) + struct.pack("!I", 0)
    path.write_bytes(sealed(body))
    try:
        _, found = read(path, PLATFORM)
    except SnapshotRefused:
        return
    for hostname, row in found.items():
        assert Entry(**{name: getattr(row, name) for name in FIELDS}).hostname == row.hostname == hostname


@pytest.mark.parametrize(
    "row", [b"", b"\x01", b"\x80" + bytes(90), b"\x01" + bytes(32), b"\x01" + bytes(32) + b"\xe4.test"]
)
def test_a_row_without_a_hostname_or_of_another_kind_is_refused(path: Path, row: bytes) -> None:
    block = struct.pack("!IH", 1, len(row)) + row
    path.write_bytes(sealed(header() + block + struct.pack("!I", 0)))
    with pytest.raises(SnapshotRefused, match="malformed"):
        read(path, PLATFORM)


def test_a_block_that_would_fill_the_memory_is_refused_before_it_is_read(path: Path) -> None:
    for block in (struct.pack("!I", 2**32 - 1), struct.pack("!I", 100) + struct.pack("!H", 65535) * 100):
        path.write_bytes(sealed(header() + block))
        with pytest.raises(SnapshotRefused, match="malformed"):
            read(path, PLATFORM)


def test_another_platforms_file_and_another_versions_are_refused(path: Path) -> None:
    whole = written(path, SNAPSHOT, sample().values())
    with pytest.raises(SnapshotRefused, match="another_platform"):
        read(path, "other.test")
    path.write_bytes(whole.replace(b'"version":3', b'"version":2'))
    with pytest.raises(SnapshotRefused, match="another_version"):
        read(path, PLATFORM)


def test_only_its_owner_may_read_the_file_and_nothing_else_is_left(path: Path) -> None:
    written(path, SNAPSHOT, ())
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_file_before_it(path: Path) -> None:
    before = written(path, SNAPSHOT, sample().values())

    def rows() -> Iterator[Entry]:
        yield from sample(1).values()
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        asyncio.run(write(path, SNAPSHOT, rows(), rest=0))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_an_interrupted_write_left_behind_is_in_nobodys_way(path: Path) -> None:
    left = path.with_name(path.name + ".new")
    left.write_bytes(b"half of a file that is longer than the whole" * 100)
    left.chmod(0o644)
    written(path, SNAPSHOT, ())
    assert path.stat().st_mode & 0o777 == 0o600
    assert read(path, PLATFORM) == (SNAPSHOT, {})
    assert not left.exists()


def test_of_two_processes_that_write_at_once_one_gives_way(path: Path) -> None:
    """At a planned replacement two sidecars have one state directory."""
    refused = 0

    def rows() -> Iterator[Entry]:
        nonlocal refused
        for row in sample(3).values():
            with pytest.raises(BlockingIOError), ThreadPoolExecutor(1) as other:
                other.submit(written, path, SNAPSHOT, sample(9).values()).result()
            refused += 1
            yield row

    written(path, SNAPSHOT, rows())
    assert refused == 3
    assert read(path, PLATFORM) == (SNAPSHOT, sample(3))


def test_a_write_given_up_when_its_file_has_its_name_leaves_the_next_ones_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is left is to have the folder on disk, and another process may write already."""
    temporary = path.with_name(path.name + ".new")
    fsync = os.fsync

    async def give_up() -> None:
        loop, named, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def slow(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                loop.call_soon_threadsafe(named.set)
                go_on.wait()
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow)
        giving_up = asyncio.create_task(write(path, SNAPSHOT, sample(1).values(), rest=0))
        await named.wait()
        temporary.write_bytes(b"another's")
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
        go_on.set()

    asyncio.run(give_up())
    assert temporary.read_bytes() == b"another's"
    temporary.unlink()
    assert read(path, PLATFORM) == (SNAPSHOT, sample(1))


def test_a_file_that_another_process_finished_just_now_is_not_written_into(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the unfinished file and locking it, its owner may have given it its final name."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(b"finished")
    lock = fcntl.flock

    def finished_meanwhile(descriptor: int, operation: int) -> None:
        temporary.rename(path)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", finished_meanwhile)
    with pytest.raises(BlockingIOError):
        written(path, SNAPSHOT, sample().values())
    assert path.read_bytes() == b"finished"
