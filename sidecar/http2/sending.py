"""The sending half of a connection: what goes to the output now, and what waits for the peer's windows.

It knows streams and windows, and nothing of what the peer sends but the numbers that its frames set here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic

from sidecar.http2 import frames
from sidecar.http2.blocks import NO_TABLE
from sidecar.http2.errors import ErrorCode
from sidecar.http2.events import DRAINED, Event, R
from sidecar.http2.headers import UNKNOWN_LENGTH
from sidecar.http2.limits import DEFAULT_HEADER_TABLE, DEFAULT_WINDOW, MAX_FRAME, Limits
from sidecar.http2.reply import Reply
from sidecar.http2.states import ROWS, Input, State
from sidecar.http2.streams import ASKED, PastStreams, Stream
from sidecar.http2.windows import give_back

_OPEN: Final = State.OPEN
_HALF_CLOSED_LOCAL: Final = State.HALF_CLOSED_LOCAL
_HALF_CLOSED_REMOTE: Final = State.HALF_CLOSED_REMOTE


class SendingHalf(Generic[R]):
    """The calls of the layer above. Each does nothing for a stream that is gone or whose end was sent or queued."""

    __slots__ = (
        "_answers",
        "_careful",
        "_draining",
        "_fed",
        "_held",
        "_initial_window",
        "_limits",
        "_most_credit",
        "_out",
        "_past",
        "_resize",
        "_room",
        "_starved",
        "_stream_window",
        "_streams",
        "_table",
        "_waiting",
        "_window",
        "closed",
        "failed",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._out: list[bytes] = []
        self._answers = 0  # control frames in `_out` that the peer caused
        self._streams: dict[int, Stream] = {}
        self._past = PastStreams(limits)
        self._waiting: dict[int, Stream] = {}  # those with something in their queue
        self._starved: OrderedDict[int, Stream] = OrderedDict()  # of those, who waits for the connection's window
        self._window = DEFAULT_WINDOW  # what the peer lets us send on the connection
        self._fed = 0  # DATA frames of ours that its windows did not cut short, not counted for it yet
        self._initial_window = DEFAULT_WINDOW  # the peer's SETTINGS_INITIAL_WINDOW_SIZE
        self._most_credit = 0  # no stream's is higher
        self._table = DEFAULT_HEADER_TABLE  # the dynamic table that the peer takes us to use
        self._resize = False  # the next block has to say that we use none
        self._draining = False
        self._careful = False  # _resize or _draining: off the fast path
        self._room = DEFAULT_WINDOW  # what the peer may send on the connection
        self._held = 0  # bytes of incomplete requests
        self._stream_window = DEFAULT_WINDOW  # and on a stream that it opens; ours, once it has acknowledged that
        self.closed = False
        """The transport is to be closed once the output is written."""
        self.failed: ErrorCode | None = None
        """Why, if it was not the end of a drain: the code of the GOAWAY that we sent."""

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    def output(self) -> bytes:
        """All bytes that are to be sent; b"" if there are none."""
        out = self._out
        if not out:
            return b""
        data = b"".join(out)
        out.clear()
        self._answers = 0
        return data

    # The layer above answers

    def reply(self, stream_id: int, reply: Reply) -> None:
        """A whole response; ends the stream. Not after `send_headers`."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        size = reply.size
        if (
            stream.queue is None
            and size <= self._window
            and size <= self._initial_window + stream.credit
            and not self._careful
        ):
            # Input.SENT_END of the table, inlined.
            if stream.state is _HALF_CLOSED_REMOTE:
                del self._streams[stream_id]
            elif stream.state is _OPEN:
                stream.state = _HALF_CLOSED_LOCAL
                if stream.held:
                    self._release(stream)
            else:
                return
            self._window -= size
            self._out.append(stream_id.to_bytes(4, "big").join(reply.pieces))
            return
        self._enqueue(stream_id, frames.HEADERS, reply.headers, not (reply.data or reply.trailers))
        if reply.data:
            self._enqueue(stream_id, frames.DATA, reply.data, not reply.trailers)
        if reply.trailers:
            self._enqueue(stream_id, frames.HEADERS, reply.trailers, True)

    def send_headers(self, stream_id: int, block: bytes, end_stream: bool = False) -> None:
        """The response's fields, as `encode` made them."""
        self._enqueue(stream_id, frames.HEADERS, block, end_stream)

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Bytes of the response's body; what the windows do not take waits."""
        if data:
            self._enqueue(stream_id, frames.DATA, data, False)

    def send_trailers(self, stream_id: int, block: bytes) -> None:
        """After all data that waits; ends the stream."""
        self._enqueue(stream_id, frames.HEADERS, block, True)

    def queued(self, stream_id: int) -> int:
        """Bytes of DATA that wait for the peer's windows."""
        stream = self._streams.get(stream_id)
        return stream.queued if stream is not None else 0

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """RST_STREAM; what waits on the stream is dropped."""
        stream = self._own(stream_id)
        if stream is None:
            return
        self._out.append(frames.rst_stream(stream_id, code))
        self._advance(stream_id, stream, Input.SENT_RST_STREAM)

    def consumed(self, stream_id: int, count: int) -> None:
        """`count` bytes of the stream's DATA are done with, before its request is complete: the peer may send as many
        more. For requests that are longer than `Limits.stream_window`, or never end; others need no call."""
        stream = self._own(stream_id)
        if stream is None or stream.state is not _OPEN:
            return
        count = min(count, stream.held)
        stream.held -= count
        self._held -= count
        self._top_up_stream(stream_id, stream)
        self._top_up()

    # Streams that end

    def _own(self, stream_id: int) -> Stream | None:
        """The stream, for those who may change it."""
        stream = self._streams.get(stream_id)
        if stream is ASKED:
            stream = self._streams[stream_id] = Stream(_HALF_CLOSED_REMOTE, 0, UNKNOWN_LENGTH)
        return stream

    def _advance(self, stream_id: int, stream: Stream, given: Input) -> None:
        """Bring a stream to the state that the table has after `given`."""
        state = ROWS[stream.state][given][1]
        stream.state = state
        if state is _OPEN:
            return
        if stream.held:
            self._release(stream)
        if state is State.CLOSED or state is State.RESET:
            del self._streams[stream_id]
            self._waiting.pop(stream_id, None)
            self._starved.pop(stream_id, None)
            if state is State.RESET:
                self._past.reset(stream_id)
            if self._draining:
                self._finish_drain()

    def _finish_drain(self) -> None:
        """The last stream may be gone."""

    # Credit for what we receive

    def _release(self, stream: Stream) -> None:
        """Nothing of the stream is kept by the codec's account: its message is complete, or nobody wants it."""
        self._held -= stream.held
        stream.held = 0
        self._top_up()

    def _top_up(self) -> None:
        increment = give_back(self._limits.connection_window, self._room, self._held)
        if increment:
            self._room += increment
            self._out.append(frames.window_update(0, increment))

    def _top_up_stream(self, stream_id: int, stream: Stream) -> None:
        increment = give_back(self._stream_window, stream.room, stream.held)
        if increment:
            stream.room += increment
            self._out.append(frames.window_update(stream_id, increment))

    def _set_stream_window(self, size: int) -> None:
        """The peer has acknowledged our SETTINGS_INITIAL_WINDOW_SIZE, and so changed every window (RFC 9113 6.9.2)."""
        for stream in self._streams.values():
            if stream.state is not _HALF_CLOSED_REMOTE:
                stream.room += size - self._stream_window
        self._stream_window = size

    # What waits for the peer's windows

    def _enqueue(self, stream_id: int, kind: int, payload: bytes, end_stream: bool) -> None:
        stream = self._own(stream_id)
        if stream is None or stream.state is _HALF_CLOSED_LOCAL:
            return
        queue = stream.queue
        if queue is None:
            queue = stream.queue = deque()
        elif queue and queue[-1][2]:
            return
        queue.append((kind, memoryview(payload), end_stream))
        if kind == frames.DATA:
            stream.queued += len(payload)
        if len(queue) == 1:
            self._flush(stream_id, stream)
            if queue:
                self._waiting[stream_id] = stream

    def _flush(self, stream_id: int, stream: Stream) -> None:
        """As much of the stream's queue as the windows take."""
        while stream.queue and self._write(stream_id, stream):
            pass

    def _write(self, stream_id: int, stream: Stream) -> bool:
        """One frame from the stream's queue, with the trailers if they are what follows; False if a window is shut."""
        queue = stream.queue
        if not queue:
            return False
        kind, payload, end_stream = queue[0]
        if kind == frames.DATA:
            window = min(self._window, self._initial_window + stream.credit)
            room = min(window, MAX_FRAME)
            if room <= 0:
                if self._window <= 0:
                    self._starved[stream_id] = stream
                return False
            part, rest = payload[:room], payload[room:]
            last = end_stream and not rest
            self._out.append(frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream_id, bytes(part)))
            # Else a peer that opens its windows by an octet at a time would earn by each (CVE-2019-9511).
            self._fed += window >= MAX_FRAME
            self._window -= len(part)
            stream.credit -= len(part)
            stream.queued -= len(part)
            if rest:
                queue[0] = kind, rest, end_stream
                return True
        else:
            block = bytes(payload)
            if self._resize:
                block = NO_TABLE + block
                self._table = 0
                self._resize = False
                self._careful = self._draining
            self._out.append(frames.header_frames(stream_id, block, end_stream))
        queue.popleft()
        if end_stream:
            self._advance(stream_id, stream, Input.SENT_END)
        elif queue and queue[0][0] == frames.HEADERS:
            self._write(stream_id, stream)
        return True

    def _unblock(self, stream_id: int, stream: Stream, events: list[Event[R]]) -> None:
        """The stream's window has grown."""
        if stream_id in self._waiting:
            self._flush(stream_id, stream)
            if not stream.queue:
                self._drained(stream_id, events)

    def _feed(self, events: list[Event[R]]) -> None:
        """The connection's window has grown: a frame of each stream that waits for it in turn, as long as there is
        room. One that comes to wait for its own window leaves the round."""
        starved = self._starved
        while starved and self._window > 0:
            stream_id, stream = starved.popitem(last=False)
            if not self._write(stream_id, stream):
                continue
            if stream.queue:
                starved[stream_id] = stream
            else:
                self._drained(stream_id, events)

    def _drained(self, stream_id: int, events: list[Event[R]]) -> None:
        self._waiting.pop(stream_id, None)
        events.append((DRAINED, stream_id))
