"""HTTP/2 frames written and read for the tests. It shares nothing with the codec but the RFC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Service/Method"),
    (b":authority", b"test"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes = b""

    def __bytes__(self) -> bytes:
        return frame(self.kind, self.flags, self.stream_id, self.payload)

    @property
    def code(self) -> int:
        """The error code of an RST_STREAM or a GOAWAY."""
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8], "big")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def parse(data: bytes) -> Iterator[Frame]:
    """Whole frames; an incomplete one is an error."""
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 3], "big")
        kind, flags = data[position + 3], data[position + 4]
        stream_id = int.from_bytes(data[position + 5 : position + 9], "big")
        payload = data[position + 9 : position + 9 + size]
        assert len(payload) == size, "the output ends inside a frame"
        yield Frame(kind, flags, stream_id, payload)
        position += 9 + size


def literal(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block that needs no table and changes none, whatever the fields."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    block = encoder.encode([(name, value, True) for name, value in headers], huffman=False)
    return block.removeprefix(b"\x20")


def headers(
    stream_id: int, fields: Iterable[tuple[bytes, bytes]] = REQUEST, *, end: bool = False, more: bool = False
) -> bytes:
    flags = (END_STREAM if end else 0) | (0 if more else END_HEADERS)
    return frame(HEADERS, flags, stream_id, literal(fields))


def data(stream_id: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if padding is not None:
        return frame(DATA, flags | PADDED, stream_id, bytes((padding,)) + payload + bytes(padding))
    return frame(DATA, flags, stream_id, payload)


def settings(*pairs: tuple[int, int], ack: bool = False) -> bytes:
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs)
    return frame(SETTINGS, ACK if ack else 0, 0, payload)


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def rst_stream(stream_id: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def ping(payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, payload)


def priority(stream_id: int, depends_on: int = 0) -> bytes:
    return frame(PRIORITY, 0, stream_id, depends_on.to_bytes(4, "big") + b"\x10")
