"""The frames of the connection itself: SETTINGS, PING, GOAWAY, WINDOW_UPDATE on stream 0; and how many such frames a
peer may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sidecar.http2 import frames, settings
from sidecar.http2.allowance import Allowance
from sidecar.http2.errors import ConnectionFault, ErrorCode
from sidecar.http2.events import Event, R
from sidecar.http2.limits import MAX_WINDOW, Limits
from sidecar.http2.sending import SendingHalf

# Of a drain, one after the other. The answer to the first does not say that no stream follows: a peer may have numbered
# requests that it writes after it (gRPC's core does, and fails them when they come too late).
DRAIN_PINGS: Final = (b"drained?", b"drained!")


class ControllingHalf(SendingHalf[R]):
    """What they set is mostly how much may be sent."""

    __slots__ = ("_acknowledged", "_controls", "_drain_ping", "_earned", "_goaway_read", "_greeted", "_opened")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        super().__init__(limits)
        self._greeted = False  # the peer's first SETTINGS has come
        self._acknowledged = False  # our SETTINGS are in force at the peer
        self._drain_ping = b""  # whose answer the drain waits for
        self._goaway_read = False  # the peer opens no more streams: it has read our GOAWAY, or sent one
        self._opened = 0  # streams
        self._earned = 0  # how many of those were counted in `_controls`
        self._controls = Allowance(limits.control_frames, limits.control_frames_per_second, clock)

    def _control(self) -> None:
        """A frame that carries no request."""
        limits = self._limits
        earned = (self._opened - self._earned) * limits.control_frames_per_stream
        earned += self._fed * limits.control_frames_per_data_frame
        self._earned = self._opened
        self._fed = 0
        if not self._controls.spend(earned):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def _answer(self, frame: bytes) -> None:
        self._answers += 1
        if self._answers > self._limits.queued_answers:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many answers nobody reads")
        self._out.append(frame)

    def _settings(self, flags: int, payload: bytes, events: list[Event[R]]) -> None:
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload")
            if not self._acknowledged:
                self._settings_acknowledged()
            return
        self._greeted = True
        before = self._initial_window
        for name, value in settings.read(payload):
            if name == settings.INITIAL_WINDOW_SIZE:
                self._set_initial_window(value)
            elif name == settings.HEADER_TABLE_SIZE and value < self._table:
                self._resize = self._careful = True
        self._answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if self._initial_window > before:
            for stream_id, stream in list(self._waiting.items()):
                self._control()  # each may be made to send one byte more (CVE-2019-9511)
                self._unblock(stream_id, stream, events)

    def _set_initial_window(self, value: int) -> None:
        """Applies to every stream, and may bring windows below 0 (RFC 9113 6.9.2)."""
        if value + self._most_credit > MAX_WINDOW:
            # `_most_credit` may be of a stream that has used it up or is gone. Looking at all of them once for each
            # WINDOW_UPDATE, and not for each setting, leaves nothing to flood.
            self._most_credit = max((stream.credit for stream in self._streams.values()), default=0)
            if value + self._most_credit > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window above 2^31-1")
        self._initial_window = value

    def _ping(self, flags: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self._answer(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == self._drain_ping:
            if payload == DRAIN_PINGS[0]:
                self._ask_drained(DRAIN_PINGS[1])
            else:
                self._drain_ping = b""
                self._goaway_read = True
                self._finish_drain()

    def _ask_drained(self, payload: bytes) -> None:
        self._drain_ping = payload
        self._out.append(frames.frame(frames.PING, 0, 0, payload))

    def _goaway(self) -> None:
        """The peer leaves, whatever its code: streams under way finish, and that is the end."""
        self._draining = self._careful = self._goaway_read = True
        self._finish_drain()

    def _settings_acknowledged(self) -> None:
        self._acknowledged = True
        self._set_stream_window(self._limits.stream_window)

    def _widen(self, increment: int, events: list[Event[R]]) -> None:
        """WINDOW_UPDATE of the connection."""
        if increment == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        self._window += increment
        if self._window > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window above 2^31-1")
        self._feed(events)
