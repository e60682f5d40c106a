"""Frames as bytes, right ones and wrong ones (RFC 9113 sections 4.1 and 6).

A writer of the tests' own that checks nothing, so that an error in the codec cannot hide behind the same error here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST = 2**31 - 1
"""Of a window, an increment and a stream identifier (RFC 9113 4.1, 6.9.1)."""


class Type(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20


class Frame(NamedTuple):
    """A frame that came: its numbers as they were on the wire."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of an RST_STREAM or a GOAWAY."""
        start = 4 if self.type == Type.GOAWAY else 0
        return int.from_bytes(self.payload[start : start + 4], "big")

    @property
    def last_stream(self) -> int:
        return int.from_bytes(self.payload[:4], "big") & LARGEST

    @property
    def ends_stream(self) -> bool:
        return self.type in (Type.DATA, Type.HEADERS) and bool(self.flags & END_STREAM)

    def __repr__(self) -> str:
        name = Type(self.type).name if self.type in Type.__members__.values() else str(self.type)
        return f"{name}(flags={self.flags:#x}, stream={self.stream}, {self.payload[:40]!r})"


def frame(type_: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """`length` is what the header says; the payload's own when left out."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload


def _padded(payload: bytes, padding: int | None) -> tuple[int, bytes]:
    if padding is None:
        return 0, payload
    return PADDED, bytes((padding,)) + payload + bytes(padding)


def data(stream: int, payload: bytes = b"", flags: int = 0, padding: int | None = None) -> bytes:
    padded, payload = _padded(payload, padding)
    return frame(Type.DATA, flags | padded, stream, payload)


def headers(
    stream: int,
    block: bytes,
    flags: int = END_STREAM | END_HEADERS,
    padding: int | None = None,
    depends_on: int | None = None,
) -> bytes:
    if depends_on is not None:
        flags |= PRIORITIZED
        block = depends_on.to_bytes(4, "big") + bytes((15,)) + block
    padded, block = _padded(block, padding)
    return frame(Type.HEADERS, flags | padded, stream, block)


def continuation(stream: int, block: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(Type.CONTINUATION, flags, stream, block)


def priority(stream: int, depends_on: int = 0, exclusive: bool = False, weight: int = 15) -> bytes:
    dependency = depends_on | (exclusive << 31)
    return frame(Type.PRIORITY, 0, stream, dependency.to_bytes(4, "big") + bytes((weight,)))


def rst_stream(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(Type.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def settings(values: Iterable[tuple[int, int]] = (), flags: int = 0) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values)
    return frame(Type.SETTINGS, flags, 0, payload)


def push_promise(stream: int, promised: int, block: bytes) -> bytes:
    return frame(Type.PUSH_PROMISE, END_HEADERS, stream, promised.to_bytes(4, "big") + block)


def ping(payload: bytes = bytes(8), flags: int = 0) -> bytes:
    return frame(Type.PING, flags, 0, payload)


def goaway(last_stream: int = 0, code: int = Code.NO_ERROR, debug: bytes = b"", stream: int = 0) -> bytes:
    return frame(Type.GOAWAY, 0, stream, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window_update(stream: int, increment: int) -> bytes:
    return frame(Type.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def parse(buffer: bytearray) -> list[Frame]:
    """Take the complete frames from the front of `buffer`."""
    frames = []
    start = 0
    while len(buffer) - start >= 9:
        size = int.from_bytes(buffer[start : start + 3], "big")
        if len(buffer) - start < 9 + size:
            break
        type_, flags = buffer[start + 3], buffer[start + 4]
        stream = int.from_bytes(buffer[start + 5 : start + 9], "big")
        frames.append(Frame(type_, flags, stream, bytes(buffer[start + 9 : start + 9 + size])))
        start += 9 + size
    del buffer[:start]
    return frames
