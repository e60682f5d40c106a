"""The file of the edge: what is written is read, and nothing else is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scenes.client_checks import auth
from scenes.edges import EDGES, sample

from sidecar import replaced_file
from sidecar.edge import snapshot
from sidecar.edge.model import SERVICE, Edge
from sidecar.edge.snapshot import (
    END,
    OCTETS_A_PIECE,
    ROWS_A_PIECE,
    SnapshotRefused,
    decode,
    encode,
    read,
    write,
)

PLATFORM = "platform.test"
SAMPLE = b"".join(encode(PLATFORM, sample()))


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content + hashlib.sha256(content).digest())


@given(EDGES)
def test_what_is_written_is_read(edge: Edge) -> None:
    assert decode(PLATFORM, b"".join(encode(PLATFORM, edge))) == edge


@given(st.integers(0, 3 * OCTETS_A_PIECE), st.text(alphabet='A\n"\\\x7fé\ud800😀', min_size=1, max_size=9))
@settings(max_examples=20)
@example(600_000, "😀")
def test_whatever_tenants_have_it_is_written_in_small_pieces(size: int, text: str) -> None:
    """Each is a step of the event loop, which answers checks."""
    crl = (text * (size // len(text) + 1))[:size].encode(errors="replace")
    asking = {str(UUID(int=n)): replace(auth(), domain_id=str(UUID(int=n)), crl_pem=crl) for n in range(3)}
    reasons = {(SERVICE, f"s{n}"): text * (n % 40) for n in range(999)} | {(SERVICE, "last"): text * 9999}
    pieces = list(encode(PLATFORM, Edge(client_auth=asking, left_out=reasons)))
    assert max(map(len, pieces)) <= OCTETS_A_PIECE
    assert max(piece.count(b"\n") for piece in pieces) <= ROWS_A_PIECE
    *_, last, end = b"".join(pieces).splitlines(keepends=True)
    assert (json.loads(last)[-1], end) == (text * 9999, END)
    rows = [json.loads(line) for line in b"".join(pieces).splitlines() if line.startswith(b'["client_auth"')]
    assert [row[-1] for row in rows] == [crl.decode()] * 3


def test_pieces_are_written_outside_of_the_event_loop(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is behind, writing waits for it."""
    threads: list[int] = []

    def watched(file: BinaryIO, digest: Any, piece: bytes) -> None:
        threads.append(threading.get_ident())
        written(file, digest, piece)

    written = replaced_file._write
    monkeypatch.setattr(replaced_file, "_write", watched)
    asyncio.run(write(state_dir / "edge.snapshot", PLATFORM, sample(), rest=0))
    assert read(state_dir / "edge.snapshot", PLATFORM) == sample()
    assert threads
    assert threading.get_ident() not in threads


@given(st.integers(0, len(SAMPLE) + 31), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_an_octet_changed_is_refused(state_dir: Path, at: int, by: int) -> None:
    path = state_dir / "edge.snapshot"
    put(path, SAMPLE)
    data = bytearray(path.read_bytes())
    data[at] ^= by
    path.write_bytes(data)
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


@given(st.integers(0, len(SAMPLE) + 31))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_cut_is_refused(state_dir: Path, length: int) -> None:
    path = state_dir / "edge.snapshot"
    put(path, SAMPLE)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SnapshotRefused):
        read(path, PLATFORM)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda data: SAMPLE.splitlines(True)[0] + data + END))
def test_any_content_is_read_or_refused_as_a_whole(content: bytes) -> None:
    try:
        edge = decode(PLATFORM, content)
    except SnapshotRefused:
        return
    assert decode(PLATFORM, b"".join(encode(PLATFORM, edge))) == edge


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "malformed"),
        (b"{}\nnull\n", "not_a_snapshot"),
        (b'{"format":"nameplate-directory"}\nnull\n', "not_a_snapshot"),
        (SAMPLE.replace(b'"version":1', b'"version":99'), "another_version"),
        (SAMPLE.replace(PLATFORM.encode(), b"other.test", 1), "another_platform"),
        (SAMPLE.removesuffix(END), "malformed"),
        (SAMPLE + END, "malformed"),
        (SAMPLE.replace(b'["trust",', b'["unheard-of",', 1), "malformed"),
        (SAMPLE.replace(b'["trust",', b'["trust",1,', 1), "malformed"),
    ],
)
def test_what_is_not_a_snapshot_of_this_platform_is_refused(state_dir: Path, content: bytes, why: str) -> None:
    path = state_dir / "edge.snapshot"
    put(path, content)
    with pytest.raises(SnapshotRefused, match=why):
        read(path, PLATFORM)


def test_a_file_that_would_fill_the_memory_is_refused(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = state_dir / "edge.snapshot"
    put(path, SAMPLE)
    monkeypatch.setattr(snapshot, "SIZE_LIMIT", 100)
    with pytest.raises(SnapshotRefused, match="too_large"):
        read(path, PLATFORM)


def test_it_is_the_owners_alone_and_the_file_before_it_stays_when_writing_fails(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state_dir / "edge.snapshot"
    asyncio.run(write(path, PLATFORM, sample(), rest=0))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()

    def broken(*_: object) -> object:
        yield b"half"
        raise OSError("no space")

    monkeypatch.setattr(snapshot, "encode", broken)
    with pytest.raises(OSError, match="no space"):
        asyncio.run(write(path, PLATFORM, Edge(), rest=0))
    assert path.read_bytes() == before
    assert [entry.name for entry in state_dir.iterdir()] == ["edge.snapshot"]
