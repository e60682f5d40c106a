"""The directory on local disk, so that a restarted sidecar serves while PostgreSQL is down. No keys, no challenges.

The file, UTF-8, one JSON value a line:
    {"format": "nameplate-directory", "version": 1, "platform_domain": …, "complete": …, "position": {…}}
    [[hostname, tenant_id, domain_id, live, fingerprint, vault_version, not_after, platform], …]     any number of times
    "<SHA-256 of all bytes before this line, in hexadecimal>"
A file that is torn, changed or of another platform is refused as a whole. The checksum is against accidents; against
malice there are the file's mode and its directory's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

from sidecar.directory.entry import Entry
from sidecar.directory.position import Head, Mark, Position

FORMAT = "nameplate-directory"
VERSION = 1
# Entries encoded in one step of the event loop: about a millisecond of it, and then it has a rest.
ENTRIES_A_LINE = 500
REST = 0.004
# Above what ENTRIES_A_LINE entries can need: a longer line is not ours, and must not fill the memory.
LINE_LIMIT = 1 << 20

FIELDS: dict[str, tuple[type, ...]] = {
    "hostname": (str,),
    "tenant_id": (str,),
    "domain_id": (str,),
    "live": (bool,),
    "fingerprint": (str, type(None)),
    "vault_version": (int, type(None)),
    "not_after": (float, type(None)),
    "platform": (bool,),
}
FIELD_TYPES = tuple(FIELDS.values())
fields_of = attrgetter(*FIELDS)


class SnapshotRefused(Exception):
    """Not a whole snapshot of this platform's directory; the text says why, in one word."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`complete`: the entries are all there were. `position`: every change before it is in them.

    `entries` is gone through once, while the file is written.
    """

    platform_domain: str
    complete: bool
    position: Position
    entries: Iterable[Entry]


async def write(path: Path, snapshot: Snapshot, rest: float = REST) -> None:
    """Replace the file at once or not at all. The event loop goes on meanwhile. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.sha256()
            for line in _lines(snapshot):
                digest.update(line)
                file.write(line)
                await asyncio.sleep(rest)
            file.write(_line(digest.hexdigest()))
            file.flush()
            await asyncio.to_thread(os.fsync, descriptor)
        await asyncio.to_thread(_rename, temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def read(path: Path, platform_domain: str) -> Snapshot:
    """Blocking. Raises SnapshotRefused, and OSError when there is no such file or it cannot be read."""
    with path.open("rb") as file:
        try:
            return _read(file, platform_domain)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise SnapshotRefused("malformed") from error


def _read(file: BinaryIO, platform_domain: str) -> Snapshot:
    digest = hashlib.sha256()
    first = file.readline(LINE_LIMIT)
    header = _header(first, platform_domain)
    digest.update(first)
    entries: list[Entry] = []
    while True:
        line = file.readline(LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise SnapshotRefused("torn" if len(line) < LINE_LIMIT else "malformed")
        fields = json.loads(line)
        if isinstance(fields, str):
            break
        entries.extend(map(_entry, fields))
        digest.update(line)
    if fields != digest.hexdigest() or file.read(1):
        raise SnapshotRefused("checksum")
    return replace(header, entries=entries)


def _header(line: bytes, platform_domain: str) -> Snapshot:
    if not line.endswith(b"\n"):
        raise SnapshotRefused("torn")
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
        entries=[],
    )


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    position = snapshot.position
    yield _line(
        {
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
    )
    entries = iter(snapshot.entries)
    while fields := [fields_of(entry) for entry in islice(entries, ENTRIES_A_LINE)]:
        yield _line(fields)


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _entry(fields: object) -> Entry:
    if not isinstance(fields, list) or len(fields) != len(FIELD_TYPES) or not all(map(isinstance, fields, FIELD_TYPES)):
        raise SnapshotRefused("malformed")
    return Entry(*fields)


def _rename(temporary: Path, path: Path) -> None:
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
