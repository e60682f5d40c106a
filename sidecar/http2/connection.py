"""A server's HTTP/2 connection (RFC 9113), sans-IO: bytes in, events out, bytes to send.

It knows nothing of sockets, of time but the clock it is given, or of gRPC. `receive` is total: whatever the bytes, the
answer is bytes for the peer. How they were split changes neither events nor output.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sidecar.http2 import frames, settings
from sidecar.http2.controlling import DRAIN_PINGS
from sidecar.http2.errors import ConnectionFault, ErrorCode
from sidecar.http2.events import DATA, REQUEST, WHOLE, Event, R
from sidecar.http2.headers import UNKNOWN_LENGTH, HeaderList
from sidecar.http2.limits import DEFAULT_WINDOW, LIMITS, MAX_FRAME, Limits
from sidecar.http2.receiving import NO_ID, ReceivingHalf
from sidecar.http2.states import State
from sidecar.http2.streams import ASKED, CLIENT_LAST, Stream

_OPEN: Final = State.OPEN
_HALF_CLOSED_REMOTE: Final = State.HALF_CLOSED_REMOTE


class Connection(ReceivingHalf[R]):
    """One connection. `read_request` is pure and total; `clock` gives seconds and is read off the hot path only."""

    __slots__ = ("_preface", "_rest")

    def __init__(
        self,
        read_request: Callable[[HeaderList], R],
        limits: Limits = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(read_request, limits, clock)
        self._rest = b""  # the start of a frame
        self._preface = frames.PREFACE  # what of it is to come

    def start(self) -> None:
        """Our SETTINGS, and the connection's window beyond the default."""
        self._out.append(settings.announce(self._limits))
        increment = self._limits.connection_window - DEFAULT_WINDOW
        if increment > 0:
            self._room += increment
            self._out.append(frames.window_update(0, increment))

    def drain(self) -> None:
        """Take no new streams once the peer has read the GOAWAY, and close when the last one is done.

        As RFC 9113 6.8 has it: GOAWAY with the highest id, so that no request on its way is lost; then, as the answers
        to two PINGs show that it was read and heeded, GOAWAY with the last id in use. A peer that does not answer them
        is the caller's to cut.
        """
        if self._draining or self.closed:
            return
        self._draining = self._careful = True
        self._out.append(frames.goaway(CLIENT_LAST, ErrorCode.NO_ERROR))
        self._ask_drained(DRAIN_PINGS[0])

    def abort(self, code: ErrorCode) -> None:
        """GOAWAY, and no more."""
        if not self.closed:
            self._close(code, b"")

    @property
    def established(self) -> bool:
        """Whether the peer has begun as it must: preface and SETTINGS."""
        return self._greeted

    def ping(self, payload: bytes) -> None:
        """PING with 8 bytes, to see that the peer reads or to make it speak. Its answer is no event."""
        if not self.closed:
            self._out.append(frames.frame(frames.PING, 0, 0, payload))

    def receive(self, data: bytes) -> list[Event[R]]:
        """What the peer's next bytes mean. After `closed`: nothing."""
        events: list[Event[R]] = []
        if self.closed:
            return events
        if self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            position = self._skip_preface(data) if self._preface else 0
            position = self._read(data, position, events)
        except ConnectionFault as fault:
            self._close(fault.code, fault.reason.encode())
            return events
        if not self.closed:
            self._rest = data[position:]
        return events

    def _skip_preface(self, data: bytes) -> int:
        preface = self._preface
        size = min(len(preface), len(data))
        if data[:size] != preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not the connection preface")
        self._preface = preface[size:]
        return size

    def _read(self, data: bytes, position: int, events: list[Event[R]]) -> int:
        """All whole frames from `position` on; returns the position after them.

        A request that the memo knows, the last DATA of a request, and the two after each other are done right here, as
        what the state table says of them comes to; every other frame goes to `_frame`.
        """
        unpack = frames.HEAD.unpack_from
        streams = self._streams
        memo = self._decoder.memo
        limits = self._limits
        low_water = limits.connection_window // 2
        whole = self._block is None
        size = len(data)
        while size - position >= 9:
            high, length, kind, flags, stream_id = unpack(data, position)
            start = position + 9
            stop = start + length
            if high or length > MAX_FRAME:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame longer than SETTINGS_MAX_FRAME_SIZE")
            if stop > size:
                break
            position = stop
            if kind == 0 and flags == 1 and whole:  # DATA, END_STREAM
                stream = streams.get(stream_id)
                if stream is not None and stream.state is _OPEN and (stream.expected < 0 or stream.expected == length):
                    room = self._room - length
                    if room >= 0 and length <= stream.room:
                        self._room = room
                        stream.state = _HALF_CLOSED_REMOTE
                        if stream.held:
                            self._release(stream)
                        elif room < low_water:
                            self._top_up()
                        events.append((DATA, stream_id, data[start:stop], True))
                        continue
            elif kind == 1 and flags == 4 and whole:  # HEADERS, END_HEADERS
                known = memo.get(data[start:stop])
                if known is not None and stream_id == self._next and len(streams) < limits.streams:
                    self._past.last = stream_id
                    self._next = stream_id + 2 if stream_id != CLIENT_LAST else NO_ID
                    self._opened += 1
                    if known[1] == UNKNOWN_LENGTH and size - position >= 9:
                        high, length, kind, flags, next_id = unpack(data, position)
                        stop = position + 9 + length
                        room = self._room - length
                        if (
                            kind == 0
                            and flags == 1
                            and next_id == stream_id
                            and not high
                            and stop <= size
                            and length <= MAX_FRAME
                            and length <= self._stream_window
                            and room >= low_water
                        ):
                            self._room = room
                            streams[stream_id] = ASKED
                            events.append((WHOLE, stream_id, known[0], data[position + 9 : stop]))
                            position = stop
                            continue
                    streams[stream_id] = Stream(_OPEN, self._stream_window, known[1])
                    events.append((REQUEST, stream_id, known[0], False))
                    continue
            self._frame(kind, flags, stream_id & frames.STREAM_ID, data[start:stop], events)
            if self.closed:
                break
            whole = self._block is None
        return position

    def _finish_drain(self) -> None:
        if self._goaway_read and not self._streams and not self.closed:
            self._close(ErrorCode.NO_ERROR, b"")

    def _close(self, code: ErrorCode, reason: bytes) -> None:
        self._out.append(frames.goaway(self._past.last, code, reason))
        self.closed = True
        if code != ErrorCode.NO_ERROR:
            self.failed = code
        self._streams.clear()
        self._waiting.clear()
        self._starved.clear()
        self._decoder.memo.clear()
        self._block = None
        self._rest = b""
