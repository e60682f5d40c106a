"""Stream states as one table (RFC 9113 5.1), from the server's side.

This file knows neither bytes nor windows. A row says, for a state and a frame that was received or sent, what is to be
done and which state follows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from sidecar.http2.errors import ErrorCode


class State(IntEnum):
    """RFC 9113 5.1 without the reserved states: nothing is pushed."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_REMOTE = 2  # the peer's message is complete, ours is not
    HALF_CLOSED_LOCAL = 3  # our answer is complete, the peer's message is not
    RESET = 4  # closed by our RST_STREAM: frames that the peer sent before it read that are still on their way
    CLOSED = 5


class Input(IntEnum):
    """A frame received, with and without END_STREAM, or an end that we sent."""

    HEADERS = 0
    HEADERS_END = 1
    DATA = 2
    DATA_END = 3
    RST_STREAM = 4
    WINDOW_UPDATE = 5
    PRIORITY = 6
    SENT_END = 7
    SENT_RST_STREAM = 8


class Effect(IntEnum):
    """What the connection does with the frame."""

    OPEN = 0  # a new request
    TRAILERS = 1  # the end of a request
    ACCEPT = 2
    DISCARD = 3  # header compression and flow control are kept up, nothing else (RFC 9113 5.1, closed)
    IGNORE = 4
    STREAM_ERROR = 5
    CONNECTION_ERROR = 6


_S, _I, _E = State, Input, Effect
_PROTOCOL, _CLOSED = ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED

Row = tuple[Effect, State, ErrorCode]


def _row(effect: Effect, state: State, code: ErrorCode = ErrorCode.NO_ERROR) -> Row:
    return effect, state, code


TABLE: Final[dict[tuple[State, Input], Row]] = {
    (_S.IDLE, _I.HEADERS): _row(_E.OPEN, _S.OPEN),
    (_S.IDLE, _I.HEADERS_END): _row(_E.OPEN, _S.HALF_CLOSED_REMOTE),
    (_S.IDLE, _I.DATA): _row(_E.CONNECTION_ERROR, _S.IDLE, _PROTOCOL),
    (_S.IDLE, _I.DATA_END): _row(_E.CONNECTION_ERROR, _S.IDLE, _PROTOCOL),
    (_S.IDLE, _I.RST_STREAM): _row(_E.CONNECTION_ERROR, _S.IDLE, _PROTOCOL),
    (_S.IDLE, _I.WINDOW_UPDATE): _row(_E.CONNECTION_ERROR, _S.IDLE, _PROTOCOL),
    (_S.IDLE, _I.PRIORITY): _row(_E.IGNORE, _S.IDLE),
    # A second HEADERS is trailers, and trailers end the request (RFC 9113 8.1).
    (_S.OPEN, _I.HEADERS): _row(_E.STREAM_ERROR, _S.RESET, _PROTOCOL),
    (_S.OPEN, _I.HEADERS_END): _row(_E.TRAILERS, _S.HALF_CLOSED_REMOTE),
    (_S.OPEN, _I.DATA): _row(_E.ACCEPT, _S.OPEN),
    (_S.OPEN, _I.DATA_END): _row(_E.ACCEPT, _S.HALF_CLOSED_REMOTE),
    (_S.OPEN, _I.RST_STREAM): _row(_E.ACCEPT, _S.CLOSED),
    (_S.OPEN, _I.WINDOW_UPDATE): _row(_E.ACCEPT, _S.OPEN),
    (_S.OPEN, _I.PRIORITY): _row(_E.IGNORE, _S.OPEN),
    (_S.OPEN, _I.SENT_END): _row(_E.ACCEPT, _S.HALF_CLOSED_LOCAL),
    (_S.OPEN, _I.SENT_RST_STREAM): _row(_E.ACCEPT, _S.RESET),
    (_S.HALF_CLOSED_REMOTE, _I.HEADERS): _row(_E.STREAM_ERROR, _S.CLOSED, _CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.HEADERS_END): _row(_E.STREAM_ERROR, _S.CLOSED, _CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.DATA): _row(_E.STREAM_ERROR, _S.CLOSED, _CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.DATA_END): _row(_E.STREAM_ERROR, _S.CLOSED, _CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.RST_STREAM): _row(_E.ACCEPT, _S.CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.WINDOW_UPDATE): _row(_E.ACCEPT, _S.HALF_CLOSED_REMOTE),
    (_S.HALF_CLOSED_REMOTE, _I.PRIORITY): _row(_E.IGNORE, _S.HALF_CLOSED_REMOTE),
    (_S.HALF_CLOSED_REMOTE, _I.SENT_END): _row(_E.ACCEPT, _S.CLOSED),
    (_S.HALF_CLOSED_REMOTE, _I.SENT_RST_STREAM): _row(_E.ACCEPT, _S.CLOSED),
    # The layer above has answered and is told nothing more.
    (_S.HALF_CLOSED_LOCAL, _I.HEADERS): _row(_E.STREAM_ERROR, _S.RESET, _PROTOCOL),
    (_S.HALF_CLOSED_LOCAL, _I.HEADERS_END): _row(_E.DISCARD, _S.CLOSED),
    (_S.HALF_CLOSED_LOCAL, _I.DATA): _row(_E.DISCARD, _S.HALF_CLOSED_LOCAL),
    (_S.HALF_CLOSED_LOCAL, _I.DATA_END): _row(_E.DISCARD, _S.CLOSED),
    (_S.HALF_CLOSED_LOCAL, _I.RST_STREAM): _row(_E.ACCEPT, _S.CLOSED),
    (_S.HALF_CLOSED_LOCAL, _I.WINDOW_UPDATE): _row(_E.ACCEPT, _S.HALF_CLOSED_LOCAL),
    (_S.HALF_CLOSED_LOCAL, _I.PRIORITY): _row(_E.IGNORE, _S.HALF_CLOSED_LOCAL),
    (_S.HALF_CLOSED_LOCAL, _I.SENT_RST_STREAM): _row(_E.ACCEPT, _S.RESET),
    (_S.RESET, _I.HEADERS): _row(_E.DISCARD, _S.RESET),
    (_S.RESET, _I.HEADERS_END): _row(_E.DISCARD, _S.CLOSED),
    (_S.RESET, _I.DATA): _row(_E.DISCARD, _S.RESET),
    (_S.RESET, _I.DATA_END): _row(_E.DISCARD, _S.CLOSED),
    (_S.RESET, _I.RST_STREAM): _row(_E.IGNORE, _S.CLOSED),
    (_S.RESET, _I.WINDOW_UPDATE): _row(_E.IGNORE, _S.RESET),
    (_S.RESET, _I.PRIORITY): _row(_E.IGNORE, _S.RESET),
    # "MAY treat receipt of any other type of frame on a closed stream as a connection error of type STREAM_CLOSED":
    # the peer itself ended or reset the stream, and its frames come in order.
    (_S.CLOSED, _I.HEADERS): _row(_E.CONNECTION_ERROR, _S.CLOSED, _CLOSED),
    (_S.CLOSED, _I.HEADERS_END): _row(_E.CONNECTION_ERROR, _S.CLOSED, _CLOSED),
    (_S.CLOSED, _I.DATA): _row(_E.CONNECTION_ERROR, _S.CLOSED, _CLOSED),
    (_S.CLOSED, _I.DATA_END): _row(_E.CONNECTION_ERROR, _S.CLOSED, _CLOSED),
    (_S.CLOSED, _I.RST_STREAM): _row(_E.IGNORE, _S.CLOSED),
    (_S.CLOSED, _I.WINDOW_UPDATE): _row(_E.IGNORE, _S.CLOSED),
    (_S.CLOSED, _I.PRIORITY): _row(_E.IGNORE, _S.CLOSED),
}

ROWS: Final = tuple(
    tuple(TABLE.get((state, given), (Effect.IGNORE, state, ErrorCode.NO_ERROR)) for given in Input) for state in State
)
"""The same by index. What the table does not have cannot be: we send nothing on a stream that is idle or closed."""
