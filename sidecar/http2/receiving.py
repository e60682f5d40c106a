"""The receiving half of a connection: each frame checked, brought to the stream table, and turned into events.

What is wrong with a frame is raised as a `Violation` and answered by the caller (a connection's) or by `_refuse` (a
stream's).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sidecar.http2 import frames
from sidecar.http2.allowance import Allowance
from sidecar.http2.blocks import BlockDecoder, PendingBlock
from sidecar.http2.controlling import ControllingHalf
from sidecar.http2.errors import ConnectionFault, ErrorCode, StreamFault
from sidecar.http2.events import DATA, REQUEST, RESET, Event, R
from sidecar.http2.headers import UNKNOWN_LENGTH, HeaderList, check_trailers
from sidecar.http2.limits import MAX_WINDOW, Limits
from sidecar.http2.states import ROWS, Effect, Input, State
from sidecar.http2.streams import CLIENT_LAST, Stream

CRUMB: Final = 256
"""Bytes. DATA that nobody wants is counted below this only: full frames were on their way before our reset."""
NO_ID: Final = 2**31  # above all stream ids


class ReceivingHalf(ControllingHalf[R]):
    """The frames of streams. `read_request` is pure and total."""

    __slots__ = ("_block", "_decoder", "_next", "_resets")

    def __init__(self, read_request: Callable[[HeaderList], R], limits: Limits, clock: Callable[[], float]) -> None:
        super().__init__(limits, clock)
        self._decoder = BlockDecoder(read_request, limits)
        self._block: PendingBlock | None = None
        self._next = 1  # the stream id that a peer that passes over none uses next
        self._resets = Allowance(limits.resets, limits.resets_per_second, clock)

    # One frame

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, events: list[Event[R]]) -> None:
        if not self._greeted and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "first frame is not SETTINGS")
        block = self._block
        if kind == frames.CONTINUATION:
            if block is None or block.stream_id != stream_id:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without its HEADERS")
        elif block is not None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame inside a header block")
        try:
            frames.check_head(kind, stream_id, len(payload))
            if kind == frames.DATA:
                self._data(flags, stream_id, payload, events)
            elif kind == frames.HEADERS:
                self._headers(flags, stream_id, payload, events)
            elif block is not None:
                self._continuation(block, flags, payload, events)
            elif kind == frames.RST_STREAM:
                self._rst_stream(stream_id, payload, events)
            elif kind == frames.WINDOW_UPDATE:
                self._window_update(stream_id, payload, events)
            elif kind == frames.PUSH_PROMISE:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
            else:
                self._control()
                if kind == frames.SETTINGS:
                    self._settings(flags, payload, events)
                elif kind == frames.PING:
                    self._ping(flags, payload)
                elif kind == frames.GOAWAY:
                    self._goaway()
                elif kind == frames.PRIORITY and frames.depends_on(payload) == stream_id:
                    raise StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
                # PRIORITY changes nothing (5.3.2). Unknown types are ignored (5.5).
        except StreamFault as fault:
            self._refuse(stream_id, fault, events)

    # Streams: the table

    def _ended_unanswered(self) -> None:
        if not self._resets.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def _step(self, stream_id: int, given: Input) -> tuple[Stream | None, Effect]:
        """The stream, if it is open or half-closed, and what to do with the frame. Raises as the table says."""
        stream = self._own(stream_id)
        effect, state, code = ROWS[self._past.state(stream_id) if stream is None else stream.state][given]
        if effect is Effect.CONNECTION_ERROR:
            raise ConnectionFault(code, "frame on an idle or closed stream")
        if effect is Effect.STREAM_ERROR:
            raise StreamFault(code, "frame not allowed in the stream's state")
        if stream is None and effect is not Effect.OPEN and state is State.CLOSED:
            self._past.ended(stream_id)
        return stream, effect

    def _refuse(self, stream_id: int, fault: StreamFault, events: list[Event[R]]) -> None:
        """RST_STREAM for a violation; one on no stream, where that cannot be sent, ends the connection."""
        stream = self._own(stream_id)
        if stream is None:
            raise ConnectionFault(fault.code, fault.reason)
        self._ended_unanswered()
        self._answer(frames.rst_stream(stream_id, fault.code))
        if stream.state is not State.HALF_CLOSED_LOCAL:
            events.append((RESET, stream_id, fault.code))
        self._advance(stream_id, stream, Input.SENT_RST_STREAM)
        self._top_up()

    # DATA

    def _data(self, flags: int, stream_id: int, payload: bytes, events: list[Event[R]]) -> None:
        ended = bool(flags & frames.END_STREAM)
        length = len(payload)
        if flags & frames.PADDED:
            payload = frames.unpad(payload)
        # Counted in whatever comes of it (RFC 9113 6.9).
        if length > self._room:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        self._room -= length
        given = Input.DATA_END if ended else Input.DATA
        stream, effect = self._step(stream_id, given)
        if stream is not None and effect is Effect.ACCEPT:
            if not payload and not ended:
                self._control()
            self._accept(stream_id, stream, payload, length, ended, events)
        else:
            if length < CRUMB:
                self._control()
            if stream is not None:
                self._advance(stream_id, stream, given)
        self._top_up()

    def _accept(
        self, stream_id: int, stream: Stream, payload: bytes, length: int, ended: bool, events: list[Event[R]]
    ) -> None:
        if length > stream.room:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")
        stream.room -= length
        if stream.expected != UNKNOWN_LENGTH:
            stream.expected -= len(payload)
            if stream.expected < 0 or (ended and stream.expected):
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "DATA differs from content-length")
        events.append((DATA, stream_id, payload, ended))
        if ended:
            self._advance(stream_id, stream, Input.DATA_END)
        else:
            stream.held += len(payload)
            self._held += len(payload)
            self._top_up_stream(stream_id, stream)  # padding is owed at once

    # HEADERS, CONTINUATION

    def _headers(self, flags: int, stream_id: int, payload: bytes, events: list[Event[R]]) -> None:
        if flags & frames.PADDED:
            payload = frames.unpad(payload)
        fault = None
        if flags & frames.PRIORITY_FLAG:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            if frames.depends_on(payload) == stream_id:
                fault = StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
            payload = payload[5:]
        block = PendingBlock(stream_id, bool(flags & frames.END_STREAM), payload, fault)
        if flags & frames.END_HEADERS:
            self._whole_block(block, events)
        else:
            self._block = block

    def _continuation(self, block: PendingBlock, flags: int, payload: bytes, events: list[Event[R]]) -> None:
        block.add(payload, self._limits)
        if flags & frames.END_HEADERS:
            self._block = None
            self._whole_block(block, events)

    def _whole_block(self, block: PendingBlock, events: list[Event[R]]) -> None:
        """HEADERS as if it had come in one frame. Whatever is wrong with the stream, the block is decoded, or the
        connection ends: the decoder stays in step with the peer's encoder."""
        stream_id = block.stream_id
        encoded = b"".join(block.parts)
        given = Input.HEADERS_END if block.end_stream else Input.HEADERS
        try:
            stream, effect = self._step(stream_id, given)
        except StreamFault:
            self._decoder.skip(encoded)
            raise
        except ConnectionFault:
            if self._past.never_used(stream_id):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stream id lower than one in use") from None
            raise
        if effect is Effect.OPEN:
            self._open(block, encoded, events)
            return
        if stream is None or effect is Effect.DISCARD:
            self._control()
            self._decoder.skip(encoded)
        else:
            trailers = self._decoder.trailers(encoded)
            if block.fault is not None:
                raise block.fault
            check_trailers(trailers)
            if stream.expected > 0:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "DATA differs from content-length")
            events.append((DATA, stream_id, b"", True))
        if stream is not None:
            self._advance(stream_id, stream, given)

    def _open(self, block: PendingBlock, encoded: bytes, events: list[Event[R]]) -> None:
        stream_id = block.stream_id
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "even stream id from a client")
        self._past.open(stream_id)
        self._next = stream_id + 2 if stream_id != CLIENT_LAST else NO_ID
        self._opened += 1
        try:
            if block.fault is not None or len(self._streams) >= self._limits.streams:
                self._decoder.skip(encoded)
                raise block.fault or StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
            request, expected = self._decoder.request(encoded)
            if block.end_stream and expected > 0:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "DATA differs from content-length")
        except StreamFault as fault:
            # The layer above never heard of the stream.
            self._ended_unanswered()
            self._answer(frames.rst_stream(stream_id, fault.code))
            if not block.end_stream:
                self._past.reset(stream_id)
            return
        state = State.HALF_CLOSED_REMOTE if block.end_stream else State.OPEN
        self._streams[stream_id] = Stream(state, self._stream_window, expected)
        events.append((REQUEST, stream_id, request, block.end_stream))

    # RST_STREAM, WINDOW_UPDATE

    def _rst_stream(self, stream_id: int, payload: bytes, events: list[Event[R]]) -> None:
        stream, _ = self._step(stream_id, Input.RST_STREAM)
        if stream is None:
            self._control()
            return
        if stream.state is not State.HALF_CLOSED_LOCAL:
            self._ended_unanswered()
            events.append((RESET, stream_id, int.from_bytes(payload, "big")))
        self._advance(stream_id, stream, Input.RST_STREAM)

    def _window_update(self, stream_id: int, payload: bytes, events: list[Event[R]]) -> None:
        self._control()
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        if stream_id == 0:
            self._widen(increment, events)
            return
        stream, _ = self._step(stream_id, Input.WINDOW_UPDATE)
        if stream is None:
            return
        if increment == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.credit += increment
        self._most_credit = max(self._most_credit, stream.credit)
        if self._initial_window + stream.credit > MAX_WINDOW:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "window above 2^31-1")
        self._unblock(stream_id, stream, events)

    def _settings_acknowledged(self) -> None:
        super()._settings_acknowledged()
        self._decoder.acknowledged()
