"""A whole response as finished frames, built once and sent on any stream of any connection."""

from __future__ import annotations

from sidecar.http2 import frames
from sidecar.http2.limits import MAX_FRAME


class Reply:
    """HEADERS, DATA, trailers. Immutable, and shared by threads and connections.

    `pieces` are the frames cut where a stream id belongs: `stream_id.join(pieces)` is the response, with the id as four
    bytes. Frames are at most 16,384 bytes, which every peer accepts.
    """

    __slots__ = ("data", "headers", "pieces", "size", "trailers")

    def __init__(self, headers: bytes, data: bytes, trailers: bytes) -> None:
        self.headers = headers
        self.data = data
        self.trailers = trailers
        self.size = len(data)
        """Bytes under flow control."""
        whole = [frames.header_frames(0, headers, not data and not trailers)]
        if data:
            whole.append(data_frames(0, data, not trailers))
        if trailers:
            whole.append(frames.header_frames(0, trailers, True))
        self.pieces = _cut(b"".join(whole))

    @classmethod
    def of(cls, headers_block: bytes, data: bytes = b"", trailers_block: bytes = b"") -> Reply:
        """From blocks made by `encode`. Empty `trailers_block`: the stream ends with the data, and with the headers if
        there is none."""
        return cls(headers_block, data, trailers_block)


def data_frames(stream_id: int, data: bytes, end_stream: bool) -> bytes:
    """DATA frames of at most 16,384 bytes; one without payload if `data` is empty."""
    flags = frames.END_STREAM if end_stream else 0
    if len(data) <= MAX_FRAME:
        return frames.frame(frames.DATA, flags, stream_id, data)
    last = (len(data) - 1) // MAX_FRAME * MAX_FRAME
    return b"".join(
        frames.frame(frames.DATA, flags if start == last else 0, stream_id, data[start : start + MAX_FRAME])
        for start in range(0, len(data), MAX_FRAME)
    )


def _cut(whole: bytes) -> tuple[bytes, ...]:
    """Frames without their stream ids."""
    pieces = []
    start = at = 0
    while at < len(whole):
        pieces.append(whole[start : at + 5])
        start = at + frames.HEAD_SIZE
        at = start + int.from_bytes(whole[at : at + 3], "big")
    pieces.append(whole[start:])
    return tuple(pieces)
