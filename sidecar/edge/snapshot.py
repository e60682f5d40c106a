"""The edge on local disk, so that a sidecar that starts while PostgreSQL is down knows it. Public data only.

The file (sidecar.replaced_file): lines of JSON, then the checksum.
    {"format": "nameplate-edge", "version": 1, "platform_domain": …}
    ["<table>", …]      a row of sidecar.edge.rows, any number of times
    null
A file that is torn, changed, of another platform, or with anything in it that is not understood, is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sidecar.edge.model import Edge
from sidecar.edge.rows import LEFT_OUT, TABLES, UNREADABLE, build, rows_of
from sidecar.replaced_file import CHECKSUM_SIZE, replace_file

FORMAT: Final = "nameplate-edge"
VERSION: Final = 1
# What is encoded in one step of the event loop, whatever tenants have: a list of revoked certificates has half a
# megabyte. Longer texts are taken apart; lists in a row are short (api.client_auth_resource).
ROWS_A_PIECE: Final = 200
OCTETS_A_PIECE: Final = 64 * 1024
CHARACTERS: Final = 4096  # of a text at once; JSON makes up to 12 octets of each
REST: Final = 0.002
# Above what is written; it must not fill the memory.
SIZE_LIMIT: Final = 1 << 30

END: Final = b"null\n"


class SnapshotRefused(Exception):
    """Not a whole snapshot of this platform's edge; the text says why, in one word."""


async def write(path: Path, platform_domain: str, edge: Edge, rest: float = REST) -> None:
    """Replace the file at once or not at all. The event loop goes on meanwhile.

    Raises OSError; BlockingIOError if another process is writing it.
    """
    await replace_file(path, encode(platform_domain, edge), rest)


def read(path: Path, platform_domain: str) -> Edge:
    """Blocking. Raises SnapshotRefused, and OSError when there is no such file or it cannot be read."""
    with path.open("rb") as file:
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise SnapshotRefused("too_large")
    content, checksum = data[:-CHECKSUM_SIZE], data[-CHECKSUM_SIZE:]
    if hashlib.sha256(content).digest() != checksum:
        raise SnapshotRefused("torn")
    return decode(platform_domain, content)


def encode(platform_domain: str, edge: Edge) -> Iterator[bytes]:
    """In pieces of at most OCTETS_A_PIECE and ROWS_A_PIECE; without the checksum."""
    yield _line({"format": FORMAT, "version": VERSION, "platform_domain": platform_domain})
    piece = bytearray()
    rows = 0
    for table, row in rows_of(edge):
        for part in _parts(table, row):
            if len(piece) + len(part) > OCTETS_A_PIECE:
                yield bytes(piece)
                piece.clear()
                rows = 0
            piece += part
        rows += 1
        if rows == ROWS_A_PIECE:
            yield bytes(piece)
            piece.clear()
            rows = 0
    yield bytes(piece)
    yield END


def decode(platform_domain: str, content: bytes) -> Edge:
    """Raises SnapshotRefused."""
    try:
        first, *lines = content.splitlines(keepends=True)
        header = json.loads(first)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise SnapshotRefused("not_a_snapshot")
        if header["version"] != VERSION:
            raise SnapshotRefused("another_version")
        if header["platform_domain"] != platform_domain:
            raise SnapshotRefused("another_platform")
        if lines.pop() != END:
            raise SnapshotRefused("malformed")
        return build(map(_row, lines))
    except UNREADABLE as error:
        raise SnapshotRefused("malformed") from error


def _row(line: bytes) -> tuple[str, list[Any]]:
    table, *row = json.loads(line)
    if len(row) != (3 if table == LEFT_OUT else TABLES[table].columns):
        raise ValueError
    return table, row


def _parts(table: str, row: list[Any]) -> Iterator[bytes]:
    """A row's line, which is not in one part if there is a long text in it."""
    if not any(isinstance(value, str) and len(value) > CHARACTERS for value in row):
        yield _line([table, *row])
        return
    yield b"[" + _json(table)
    for value in row:
        yield b","
        if isinstance(value, str):
            yield b'"'
            for start in range(0, len(value), CHARACTERS):
                yield _json(value[start : start + CHARACTERS])[1:-1]
            yield b'"'
        else:
            yield _json(value)
    yield b"]\n"


def _line(value: object) -> bytes:
    return _json(value) + b"\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
