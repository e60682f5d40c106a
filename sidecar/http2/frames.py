"""Frames (RFC 9113 4.1, 6): their layout, the sizes that are fixed, and how ours are written."""

from __future__ import annotations

from struct import Struct
from typing import Final

from sidecar.http2.errors import ConnectionFault, ErrorCode, StreamFault
from sidecar.http2.limits import MAX_FRAME

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

HEAD: Final = Struct(">BHBBL")
"""Length (its high byte apart: 24 bits), type, flags, stream id with the reserved bit."""
HEAD_SIZE: Final = 9
STREAM_ID: Final = 0x7FFFFFFF  # all but the reserved bit, which is ignored (RFC 9113 4.1)

FIXED_SIZES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
ON_STREAMS: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
ON_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame; `payload` is at most 2^24-1 bytes."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def goaway(last_stream_id: int, code: int, reason: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + reason)


def header_frames(stream_id: int, block: bytes, end_stream: bool) -> bytes:
    """HEADERS, and CONTINUATION frames if `block` is longer than one frame."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= MAX_FRAME:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [frame(HEADERS, flags, stream_id, block[:MAX_FRAME])]
    for start in range(MAX_FRAME, len(block), MAX_FRAME):
        last = start + MAX_FRAME >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if last else 0, stream_id, block[start : start + MAX_FRAME]))
    return b"".join(parts)


def check_head(kind: int, stream_id: int, size: int) -> None:
    """The rules that need the frame's head only. Frames of unknown types have none but their size."""
    if size > MAX_FRAME:
        # An error of the stream in some cases; always one of the connection here, since what would have to be read and
        # dropped is up to 16 MB (RFC 9113 4.2, 5.4.2).
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame longer than SETTINGS_MAX_FRAME_SIZE")
    if stream_id == 0:
        if kind in ON_STREAMS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame needs a stream")
    elif kind in ON_CONNECTION:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame belongs to no stream")
    if size != FIXED_SIZES.get(kind, size):
        fault = StreamFault if kind == PRIORITY else ConnectionFault
        raise fault(ErrorCode.FRAME_SIZE_ERROR, "frame of a wrong size")
    if kind == GOAWAY and size < 8:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY too short")


def unpad(payload: bytes) -> bytes:
    """The payload of a frame with the PADDED flag without its padding (RFC 9113 6.1, 6.2)."""
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded frame without a pad length")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding as long as the payload")
    return payload[1 : len(payload) - padding]


def depends_on(payload: bytes) -> int:
    """The stream that a PRIORITY payload or the start of a HEADERS payload depends on (RFC 9113 6.3)."""
    return int.from_bytes(payload[:4], "big") & STREAM_ID
