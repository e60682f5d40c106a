"""SETTINGS (RFC 9113 6.5): the peer's, checked, and ours."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from sidecar.http2 import frames
from sidecar.http2.errors import ConnectionFault, ErrorCode
from sidecar.http2.limits import DEFAULT_HEADER_TABLE, MAX_FRAME, MAX_WINDOW, Limits

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8  # RFC 8441

_PAIR: Final = Struct(">HL")

RANGES: Final = {
    ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: (0, MAX_WINDOW, ErrorCode.FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: (MAX_FRAME, 2**24 - 1, ErrorCode.PROTOCOL_ERROR),
    ENABLE_CONNECT_PROTOCOL: (0, 1, ErrorCode.PROTOCOL_ERROR),
}
"""Least and greatest value, and the code of the connection error outside them. Other settings take any value."""


def read(payload: bytes) -> Iterator[tuple[int, int]]:
    """The settings of a frame in their order, unknown ones too. Raises ConnectionFault."""
    if len(payload) % _PAIR.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS not a multiple of 6 bytes")
    for name, value in _PAIR.iter_unpack(payload):
        if name in RANGES:
            least, greatest, code = RANGES[name]
            if not least <= value <= greatest:
                raise ConnectionFault(code, "setting out of its range")
        yield name, value


def announce(limits: Limits) -> bytes:
    """Our SETTINGS frame. What has the RFC's default is not said."""
    ours = [
        (MAX_CONCURRENT_STREAMS, limits.streams),
        (INITIAL_WINDOW_SIZE, limits.stream_window),
        (MAX_HEADER_LIST_SIZE, limits.header_list),
    ]
    if limits.header_table != DEFAULT_HEADER_TABLE:
        ours.insert(0, (HEADER_TABLE_SIZE, limits.header_table))
    return frames.frame(frames.SETTINGS, 0, 0, b"".join(_PAIR.pack(*pair) for pair in ours))
