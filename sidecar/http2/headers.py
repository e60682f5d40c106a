"""What a request's fields must be (RFC 9113 8.2, 8.3). Pure: fields in, nothing or a StreamFault out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from sidecar.http2.errors import ErrorCode, StreamFault

HeaderList: TypeAlias = list[tuple[bytes, bytes]]

# 8.2.1: "characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff (all inclusive)", and a colon in its place only.
_NAME: Final = re.compile(rb"[!-9;-@\[-~]+").fullmatch
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z").search
_DIGITS: Final = re.compile(rb"[0-9]{1,19}").fullmatch
CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
WITH_AUTHORITY: Final = frozenset((b"http", b"https"))
PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
UNKNOWN_LENGTH: Final = -1


def _malformed(reason: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, reason)


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME(name):
        raise _malformed("field name with a character that is not allowed")
    if _BAD_VALUE(value):
        raise _malformed("field value with a character that is not allowed")
    if name in CONNECTION_SPECIFIC:
        raise _malformed("connection-specific field")
    if name == b"te" and value != b"trailers":
        raise _malformed("te other than trailers")


def check_request(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Check a request's fields and return its content-length, or UNKNOWN_LENGTH. Raises StreamFault."""
    pseudo: dict[bytes, bytes] = {}
    hosts: set[bytes] = set()
    lengths: set[bytes] = set()
    regular = False
    for name, value in headers:
        if name[:1] == b":":
            if regular:
                raise _malformed("pseudo-header after a regular field")
            if name not in PSEUDO:
                raise _malformed("unknown pseudo-header")
            if name in pseudo:
                raise _malformed("pseudo-header twice")
            if _BAD_VALUE(value):
                raise _malformed("pseudo-header value with a character that is not allowed")
            pseudo[name] = value
            continue
        regular = True
        _check_field(name, value)
        if name == b"content-length":
            lengths.add(value)
        elif name == b"host":
            hosts.add(value)
    _check_pseudo(pseudo)
    _check_authority(pseudo, hosts)
    if not lengths:
        return UNKNOWN_LENGTH
    (length, *others) = lengths
    if others or not _DIGITS(length):
        raise _malformed("content-length is no number, or two")
    return int(length)


def _check_pseudo(pseudo: dict[bytes, bytes]) -> None:
    method = pseudo.get(b":method")
    if not method:
        raise _malformed(":method missing or empty")
    if method == b"CONNECT":
        # 8.5: the authority form only. Extended CONNECT (RFC 8441) is not announced.
        if b":scheme" in pseudo or b":path" in pseudo or not pseudo.get(b":authority"):
            raise _malformed("CONNECT with :scheme or :path, or without :authority")
        return
    if not pseudo.get(b":scheme"):
        raise _malformed(":scheme missing or empty")
    path = pseudo.get(b":path")
    if not path:
        raise _malformed(":path missing or empty")
    if path[:1] != b"/" and not (path == b"*" and method == b"OPTIONS") and pseudo[b":scheme"] in WITH_AUTHORITY:
        raise _malformed(":path does not start with a slash")


def _check_authority(pseudo: dict[bytes, bytes], hosts: set[bytes]) -> None:
    """8.3.1, and RFC 9110 4.2 for the schemes whose authority is mandatory."""
    named = hosts | {pseudo[b":authority"]} if b":authority" in pseudo else hosts
    if len({name.lower() for name in named}) > 1:
        raise _malformed("host differs from :authority")
    if pseudo.get(b":scheme") in WITH_AUTHORITY and (not named or not all(named) or any(b"@" in n for n in named)):
        raise _malformed("no authority, an empty one, or one with userinfo")


def check_trailers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Trailers are regular fields only (8.1). Raises StreamFault."""
    for name, value in headers:
        if name[:1] == b":":
            raise _malformed("pseudo-header in trailers")
        _check_field(name, value)
