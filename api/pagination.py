"""Cursors: a place in a list, as a text that clients pass back unread.

A cursor holds a position, not a secret and no right: a forged one can only ask for another place in the caller's own
list. The check catches accidents (a cut or edited text) and cursors of another version.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.service import Position

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
CURSOR_PATTERN = "^[A-Za-z0-9_-]{38}$"  # 28 bytes as base64url

ENTRY_CURSOR_PATTERN = "^[A-Za-z0-9_-]{16}$"  # 12 bytes as base64url

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POSITION = struct.Struct("!q16s")
_ENTRY = struct.Struct("!q")
_CHECK_SIZE = 4
_CHECK_KEY = b"nameplate domains cursor 1"
_ENTRY_CHECK_KEY = b"nameplate audit cursor 1"
_CURSOR_LENGTH = 38
_ENTRY_CURSOR_LENGTH = 16


def encode_cursor(position: Position) -> str:
    body = _POSITION.pack((position.created_at - _EPOCH) // _MICROSECOND, position.domain_id.bytes)
    return _encode(body, _CHECK_KEY)


def decode_cursor(text: str) -> Position | None:
    """The position, or None for any text that `encode_cursor` does not make. Never raises."""
    body = _decode(text, _CURSOR_LENGTH, _CHECK_KEY)
    if body is None:
        return None
    microseconds, domain_id = _POSITION.unpack(body)
    try:
        position = Position(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=domain_id))
    except OverflowError:
        return None
    return position if encode_cursor(position) == text else None


def encode_entry_cursor(entry_id: int) -> str:
    """A place in a list whose entries are numbered: just after the entry."""
    return _encode(_ENTRY.pack(entry_id), _ENTRY_CHECK_KEY)


def decode_entry_cursor(text: str) -> int | None:
    """The entry's number, or None for any text that `encode_entry_cursor` does not make. Never raises."""
    body = _decode(text, _ENTRY_CURSOR_LENGTH, _ENTRY_CHECK_KEY)
    if body is None:
        return None
    (entry_id,) = _ENTRY.unpack(body)
    return int(entry_id) if encode_entry_cursor(entry_id) == text else None


def _encode(body: bytes, key: bytes) -> str:
    return base64.urlsafe_b64encode(body + _check(body, key)).rstrip(b"=").decode()


def _decode(text: str, length: int, key: bytes) -> bytes | None:
    if len(text) != length or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-length % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    body, check = raw[:-_CHECK_SIZE], raw[-_CHECK_SIZE:]
    return body if check == _check(body, key) else None


def _check(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_SIZE, key=key).digest()
