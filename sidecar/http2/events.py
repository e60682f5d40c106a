"""What the codec says to the layer above: plain tuples, cheap to make and to match by their first item."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar

R = TypeVar("R")

REQUEST: Final = 0
DATA: Final = 1
RESET: Final = 2
DRAINED: Final = 3
WHOLE: Final = 4

Request: TypeAlias = tuple[Literal[0], int, R, bool]
"""stream id, what `read_request` made of the headers, whether the request ends here."""
Data: TypeAlias = tuple[Literal[1], int, bytes, bool]
"""stream id, payload, whether the request ends here. The peer's trailers come as (DATA, id, b"", True)."""
Reset: TypeAlias = tuple[Literal[2], int, int]
"""stream id, error code: the stream is gone, by the peer's RST_STREAM or by ours for its violation. A code of the peer
may be one that `ErrorCode` does not know."""
Drained: TypeAlias = tuple[Literal[3], int]
"""stream id: all that was queued on the stream has gone to the output."""

Whole: TypeAlias = tuple[Literal[4], int, R, bytes]
"""stream id, what `read_request` made of the headers, payload: a request whose headers and only DATA came in one go.
It stands for (REQUEST, id, r, False) and (DATA, id, payload, True), and which of the two forms comes is the only thing
that depends on how the bytes were split."""

Event: TypeAlias = Request[R] | Data | Reset | Drained | Whole[R]

__all__ = ["DATA", "DRAINED", "REQUEST", "RESET", "WHOLE", "Data", "Drained", "Event", "R", "Request", "Reset", "Whole"]
