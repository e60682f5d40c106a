"""What no server may ever send, whatever its peer did (RFC 9113 4 to 6, 8.1): looked at on every connection here."""

from __future__ import annotations

from conformance.frames import ACK, END_HEADERS, LARGEST, Code, Frame, Type

SIZES = {Type.PRIORITY: 5, Type.RST_STREAM: 4, Type.PING: 8, Type.WINDOW_UPDATE: 4}
ON_STREAMS = {Type.DATA, Type.HEADERS, Type.RST_STREAM}


class Legality:
    """`see` each frame in order; AssertionError at the first that is wrong."""

    def __init__(self) -> None:
        self._first = True
        self._over = False  # GOAWAY for an error
        self._last = LARGEST  # of the last GOAWAY
        self._block: int | None = None  # the stream whose header block is incomplete
        self._begun: set[int] = set()  # streams with response headers
        self._ended: set[int] = set()
        self._reset: set[int] = set()

    def see(self, frame: Frame) -> None:
        kind, flags, stream, payload = frame
        assert kind in Type.__members__.values() and kind != Type.PUSH_PROMISE, f"{frame}: not a server's"
        assert stream <= LARGEST, f"{frame}: the reserved bit"
        assert len(payload) <= 16_384, f"{frame}: {len(payload)} octets"
        assert len(payload) == SIZES.get(Type(kind), len(payload)), f"{frame}: of a wrong size"
        if self._first:
            assert kind == Type.SETTINGS and not flags & ACK, f"{frame}: first"
            self._first = False
        assert not self._over, f"{frame}: after GOAWAY"
        assert (self._block is None) == (kind != Type.CONTINUATION), f"{frame}: about a header block"
        if kind in ON_STREAMS:
            assert stream % 2, f"{frame}: on no stream of ours"
            assert stream not in self._reset, f"{frame}: after RST_STREAM"
        match kind:
            case Type.DATA | Type.HEADERS:
                self._see_message(frame)
            case Type.CONTINUATION:
                assert stream == self._block, f"{frame}: of another block"
                self._block = None if flags & END_HEADERS else stream
            case Type.RST_STREAM:
                assert stream in self._begun or frame.code != Code.NO_ERROR, f"{frame}: no error, and no response"
                self._reset.add(stream)
            case Type.SETTINGS:
                assert stream == 0 and len(payload) % 6 == 0 and not (flags & ACK and payload), f"{frame}"
            case Type.PING:
                assert stream == 0, f"{frame}"
            case Type.WINDOW_UPDATE:
                assert 0 < int.from_bytes(payload, "big") <= LARGEST, f"{frame}: the increment"
                assert stream not in self._reset, f"{frame}: after RST_STREAM"
            case Type.GOAWAY:
                assert stream == 0 and frame.last_stream <= self._last, f"{frame}: the last stream went up"
                self._last = frame.last_stream
                self._over = frame.code != Code.NO_ERROR

    def _see_message(self, frame: Frame) -> None:
        stream = frame.stream
        assert stream not in self._ended, f"{frame}: after END_STREAM"
        if frame.type == Type.DATA:
            assert stream in self._begun, f"{frame}: before HEADERS"
        else:
            assert stream not in self._begun or frame.ends_stream, f"{frame}: trailers that do not end the stream"
            self._begun.add(stream)
            self._block = None if frame.flags & END_HEADERS else stream
        if frame.ends_stream:
            self._ended.add(stream)
