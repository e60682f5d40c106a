"""The directory on local disk, so that a restarted sidecar serves while PostgreSQL is down. No keys, no challenges.

The file: a line of JSON, then blocks of rows, then a checksum. Numbers are in network byte order.
    {"format": "nameplate-directory", "version": 3, "platform_domain": …, "complete": …, "position": {…}}
    count 4 · the length of each row 2 · the rows, each the bytes of an Entry       any number of times
    0       4
    SHA-256 of all bytes before 32
A file that is torn, changed or of another platform is refused as a whole. The checksum is against accidents; against
malice there are the file's mode and its directory's. Read at once rather than mapped and searched: a million rows take
less than a second, and looking a name up then is a dict's business.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, BinaryIO

from sidecar.directory.entry import HOSTNAME_AT, Entry, unpack
from sidecar.directory.position import Head, Mark, Position
from sidecar.directory.rows import Everything
from sidecar.replaced_file import CHECKSUM_SIZE, replace_file

FORMAT = "nameplate-directory"
VERSION = 3
# Rows encoded in one step of the event loop: about a millisecond of it, and then it has a rest.
ROWS_A_BLOCK = 2000
REST = 0.004
# Above what is written: a longer line or block is not ours, and must not fill the memory.
LINE_LIMIT = 1 << 20
BLOCK_LIMIT = 1 << 20

_count = struct.Struct("!I")


class SnapshotRefused(Exception):
    """Not a whole snapshot of this platform's directory; the text says why, in one word."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is said of the rows. `complete`: they are all there were. `position`: every change before it is in them."""

    platform_domain: str
    complete: bool
    position: Position


async def write(path: Path, snapshot: Snapshot, rows: Iterable[Entry], rest: float = REST) -> None:
    """Replace the file at once or not at all. The event loop goes on meanwhile; `rows` is gone through once.

    Raises OSError; BlockingIOError if another process is writing it.
    """
    await replace_file(path, _pieces(snapshot, rows), rest)


def read(path: Path, platform_domain: str) -> tuple[Snapshot, Everything]:
    """Blocking. Raises SnapshotRefused, and OSError when there is no such file or it cannot be read."""
    with path.open("rb") as file:
        try:
            return _read(file, platform_domain)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError, struct.error) as error:
            raise SnapshotRefused("malformed") from error


def _read(file: BinaryIO, platform_domain: str) -> tuple[Snapshot, Everything]:
    digest = hashlib.sha256()

    def take(size: int) -> bytes:
        data = file.read(size)
        if len(data) < size:
            raise SnapshotRefused("torn")
        digest.update(data)
        return data

    first = file.readline(LINE_LIMIT)
    digest.update(first)
    snapshot = _header(first, platform_domain)
    rows = Everything()
    while count := _count.unpack(take(_count.size))[0]:
        if count > BLOCK_LIMIT:
            raise SnapshotRefused("malformed")
        lengths = struct.unpack(f"!{count}H", take(2 * count))
        size = sum(lengths)
        if size > BLOCK_LIMIT:
            raise SnapshotRefused("malformed")
        rows.update(_rows(take(size), lengths))
    expected = digest.digest()
    if take(CHECKSUM_SIZE) != expected or file.read(1):
        raise SnapshotRefused("checksum")
    return snapshot, rows


def _rows(block: bytes, lengths: Sequence[int]) -> Iterator[tuple[str, Entry]]:
    """By hostname. Half of what a restart with a million names takes is spent here."""
    text = block.decode("latin-1")  # of one byte a character, so that hostnames can be cut out of it
    ends = list(accumulate(lengths))
    starts = [0, *ends[:-1]]
    hostnames = [text[start + HOSTNAME_AT[block[start]] : end] for start, end in zip(starts, ends, strict=True)]
    if not all(hostnames) or not "".join(hostnames).isascii():
        raise SnapshotRefused("malformed")
    return zip(hostnames, [unpack(block[start:end]) for start, end in zip(starts, ends, strict=True)], strict=True)


def _header(line: bytes, platform_domain: str) -> Snapshot:
    if not line.endswith(b"\n"):
        raise SnapshotRefused("torn" if len(line) < LINE_LIMIT else "malformed")
    header: dict[str, Any] = json.loads(line)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SnapshotRefused("not_a_snapshot")
    if header["version"] != VERSION:
        raise SnapshotRefused("another_version")
    if header["platform_domain"] != platform_domain:
        raise SnapshotRefused("another_platform")
    position = header["position"]
    xmin = int(position["xid"])
    recent = tuple(Mark(*map(int, mark)) for mark in position["recent"])
    return Snapshot(
        platform_domain=platform_domain,
        complete=header["complete"] is True,
        position=Position(
            Head(str(position["feed_id"]), xmin, xmin, (), int(position["pruned_xid"])),
            int(position["last_id"]),
            recent,
        ),
    )


def _pieces(snapshot: Snapshot, rows: Iterable[Entry]) -> Iterator[bytes]:
    position = snapshot.position
    header = {
        "format": FORMAT,
        "version": VERSION,
        "platform_domain": snapshot.platform_domain,
        "complete": snapshot.complete,
        "position": {
            "feed_id": position.head.feed_id,
            "xid": position.head.xmin,
            "pruned_xid": position.head.pruned_xid,
            "last_id": position.last_id,
            "recent": position.recent,
        },
    }
    yield json.dumps(header, separators=(",", ":")).encode() + b"\n"
    remaining = iter(rows)
    while block := list(islice(remaining, ROWS_A_BLOCK)):
        yield b"".join((_count.pack(len(block)), struct.pack(f"!{len(block)}H", *map(len, block)), *block))
    yield _count.pack(0)
