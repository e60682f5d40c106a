"""Places in the operator's lists, and their cursors: the keys of a row, as a text that is passed back unread.

As in api.pagination a cursor is a place and no right; the check catches accidents.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

CURSOR_PATTERN = "^[A-Za-z0-9_-]{8,1400}$"
LONGEST = 1_400
MOST_KEYS = 4
_CHECK_SIZE = 4
_CHECK_KEY = b"nameplate operator cursor 1"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list, just after the row with these keys."""

    keys: tuple[str, ...]


def encode_place(place: Place, view: str) -> str:
    """`view`: the list that it is a place of."""
    body = json.dumps([view, *place.keys], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(body + _check(body)).rstrip(b"=").decode()


def decode_place(text: str) -> tuple[Place, str] | None:
    """The place and its view, or None for any text that `encode_place` does not make. Never raises."""
    if not text.isascii() or len(text) > LONGEST:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    body, check = raw[:-_CHECK_SIZE], raw[-_CHECK_SIZE:]
    if check != _check(body):
        return None
    try:
        keys = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(keys, list) or not 2 <= len(keys) <= MOST_KEYS:
        return None
    if not all(isinstance(key, str) and key.isascii() and key.isprintable() for key in keys):
        return None
    place, view = Place(tuple(keys[1:])), keys[0]
    return (place, view) if encode_place(place, view) == text else None


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_SIZE, key=_CHECK_KEY).digest()
