"""A stream while it is open or half-closed, and what is remembered of those that are past."""

from __future__ import annotations

from collections import deque
from typing import Final

from sidecar.http2.headers import UNKNOWN_LENGTH
from sidecar.http2.limits import Limits
from sidecar.http2.states import State

CLIENT_LAST: Final = 2**31 - 1


class Stream:
    """Mutable and small: one is made for each request."""

    __slots__ = ("credit", "expected", "held", "queue", "queued", "room", "state")

    def __init__(self, state: State, room: int, expected: int) -> None:
        self.state = state
        self.room = room
        """Bytes that the peer may still send."""
        self.held = 0
        """Bytes of the incomplete request that the layer above keeps."""
        self.expected = expected
        """What is left of the content-length, or UNKNOWN_LENGTH."""
        self.credit = 0
        """What we may send, less the peer's SETTINGS_INITIAL_WINDOW_SIZE: so a change of that is a change of all."""
        self.queue: deque[tuple[int, memoryview, bool]] | None = None
        """Frames that wait for the peer's window: type, payload, END_STREAM. None until something had to wait or the
        answer is sent in parts."""
        self.queued = 0


ASKED: Final = Stream(State.HALF_CLOSED_REMOTE, 0, UNKNOWN_LENGTH)
"""Stands for each stream whose request came whole and to which nothing else has happened: most are answered before they
need an object of their own. Never changed."""


class PastStreams:
    """Which ids were used, to tell an idle stream from a closed one, and how it was closed."""

    __slots__ = ("_forgotten", "_limits", "_order", "_passed_over", "_reset", "last")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.last = 0
        """The highest id that the peer has opened."""
        self._reset: set[int] = set()
        self._order: deque[int] = deque()
        self._forgotten = 0
        self._passed_over: deque[range] = deque(maxlen=limits.skipped_ranges)

    def state(self, stream_id: int) -> State:
        """Of a stream that is not open: IDLE, RESET or CLOSED."""
        if stream_id % 2 == 0 or stream_id > self.last:
            return State.IDLE
        if stream_id in self._reset or stream_id <= self._forgotten:
            return State.RESET
        return State.CLOSED

    def open(self, stream_id: int) -> None:
        if stream_id > self.last + 2:
            self._passed_over.append(range(self.last + 1, stream_id))
        self.last = stream_id

    def never_used(self, stream_id: int) -> bool:
        """Whether the peer closed the idle stream by using a higher id (RFC 9113 5.1.1)."""
        return any(stream_id in ids for ids in self._passed_over)

    def reset(self, stream_id: int) -> None:
        """We sent RST_STREAM, and frames of the peer may be on their way."""
        self._reset.add(stream_id)
        self._order.append(stream_id)
        if len(self._order) > self._limits.remembered_resets:
            oldest = self._order.popleft()
            if oldest in self._reset:
                self._reset.remove(oldest)
                self._forgotten = max(self._forgotten, oldest)

    def ended(self, stream_id: int) -> None:
        """The peer's last frame on a stream that we reset has come."""
        self._reset.discard(stream_id)
