"""What h2spec calls `http2`, sections 3 to 5 of RFC 7540, with the answers it accepts, or stricter ones of RFC 9113."""

from __future__ import annotations

from conformance import frames
from conformance.case import (
    Alive,
    Answered,
    Case,
    Closed,
    GoAway,
    Pong,
    Reset,
    Step,
)
from conformance.frames import (
    END_STREAM,
    PREFACE,
    Code,
    Setting,
    Type,
    frame,
)
from conformance.peer import Peer
from conformance.steps import (
    ACKNOWLEDGED,
    GET,
    block,
    continuation,
    ended,
    initial_window,
    post,
    raw,
    request,
)

DUMMY = [("x-dummy0", "x" * 4000)]
PROTOCOL_ERROR = GoAway(Code.PROTOCOL_ERROR)
FRAME_SIZE_ERROR = GoAway(Code.FRAME_SIZE_ERROR)
ANY_CLOSED = (Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)


def _data_of_frame_size(above: int) -> Step:
    return lambda peer: frames.data(1, bytes(peer.settings.get(Setting.MAX_FRAME_SIZE, 16384) + above), END_STREAM)


def _headers_above_frame_size(peer: Peer) -> bytes:
    room = peer.settings.get(Setting.MAX_FRAME_SIZE, 16384)
    return frames.headers(1, block(peer, [*GET, *((f"x-dummy{n}", "x" * 4000) for n in range(room // 3400 + 1))]))


def _one_stream_too_many(peer: Peer) -> bytes:
    limit = peer.settings[Setting.MAX_CONCURRENT_STREAMS]
    first = frames.headers(1, block(peer, GET))
    return first + b"".join(frames.headers(1 + 2 * n, block(peer, GET)) for n in range(1, limit + 1))


STARTING = (
    Case(
        "http2/3.5",
        "client connection preface",
        (raw(PREFACE + frames.settings([(Setting.INITIAL_WINDOW_SIZE, 65535)])),),
        Alive(),
        bare=True,
    ),
    Case("http2/3.5", "invalid preface", (raw(b"INVALID CONNECTION PREFACE\r\n\r\n"),), Closed(), bare=True),
    Case("http2/4.1", "unknown frame type", (raw(frame(0x16, payload=bytes(8))),), Alive()),
    Case("http2/4.1", "undefined flags", (raw(frame(Type.PING, 0x16, 0, bytes(8))),), Pong(bytes(8))),
    Case("http2/4.1", "reserved bit", (raw(frame(Type.PING, 0x16, 1 << 31, bytes(8))),), Pong(bytes(8))),
    Case("http2/4.2", "DATA of 2^14 octets", (post(), _data_of_frame_size(0)), Answered()),
    Case("http2/4.2", "DATA above MAX_FRAME_SIZE", (post(), _data_of_frame_size(1)), Reset(Code.FRAME_SIZE_ERROR)),
    Case("http2/4.2", "HEADERS above MAX_FRAME_SIZE", (_headers_above_frame_size,), FRAME_SIZE_ERROR),
    Case(
        "http2/4.3",
        "invalid header block",
        (raw(frames.headers(1, b"\x40")),),
        GoAway(Code.COMPRESSION_ERROR),
    ),
    Case(
        "http2/4.3",
        "PRIORITY inside a header block",
        (request(flags=0), raw(frames.priority(1)), continuation(1, DUMMY)),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/4.3",
        "HEADERS of another stream inside a header block",
        (request(flags=0), request(3), continuation(1, DUMMY)),
        PROTOCOL_ERROR,
    ),
)

STATES = (
    Case("http2/5.1", "idle: DATA", (raw(frames.data(1, b"test", END_STREAM)),), PROTOCOL_ERROR),
    Case("http2/5.1", "idle: RST_STREAM", (raw(frames.rst_stream(1)),), PROTOCOL_ERROR),
    Case("http2/5.1", "idle: WINDOW_UPDATE", (raw(frames.window_update(1, 100)),), PROTOCOL_ERROR),
    Case("http2/5.1", "idle: CONTINUATION", (continuation(1, GET),), PROTOCOL_ERROR),
    *(
        Case("http2/5.1", f"half-closed (remote){state}: {name}", (*before, request(), late), Reset(*codes))
        for state, before in ((", answered at once", ()), (", answer under way", (initial_window(0), ACKNOWLEDGED)))
        for name, late, codes in (
            ("DATA", raw(frames.data(1, b"test", END_STREAM)), (Code.STREAM_CLOSED,)),
            ("HEADERS", request(), (Code.STREAM_CLOSED,)),
            ("CONTINUATION", continuation(1, GET), ANY_CLOSED),
        )
    ),
    *(
        Case("http2/5.1", f"closed by RST_STREAM: {name}", (post(), raw(frames.rst_stream(1)), late), Reset(*codes))
        for name, late, codes in (
            ("DATA", raw(frames.data(1, b"test", END_STREAM)), (Code.STREAM_CLOSED,)),
            ("HEADERS", request(), (Code.STREAM_CLOSED,)),
            ("CONTINUATION", continuation(1, DUMMY), ANY_CLOSED),
        )
    ),
    *(
        Case("http2/5.1", f"closed: {name}", (request(), ended(), late), GoAway(*codes))
        for name, late, codes in (
            ("DATA", raw(frames.data(1, b"test", END_STREAM)), (Code.STREAM_CLOSED,)),
            ("HEADERS", request(), (Code.STREAM_CLOSED,)),
            ("CONTINUATION", continuation(1, DUMMY), ANY_CLOSED),
        )
    ),
    Case("http2/5.1.1", "an even identifier", (request(2),), PROTOCOL_ERROR),
    Case("http2/5.1.1", "an identifier lower than the last", (request(5), request(3)), PROTOCOL_ERROR),
    Case("http2/5.1.1", "an identifier used before", (request(5), request(5)), Reset(Code.STREAM_CLOSED, stream=5)),
    Case(
        "http2/5.1.2",
        "one stream more than MAX_CONCURRENT_STREAMS",
        (initial_window(0), ACKNOWLEDGED, _one_stream_too_many),
        Reset(Code.REFUSED_STREAM, Code.PROTOCOL_ERROR, stream=None),
    ),
    Case("http2/5.3.1", "HEADERS that depends on itself", (request(depends_on=1),), Reset(Code.PROTOCOL_ERROR)),
    Case(
        "http2/5.3.1",
        "PRIORITY that depends on itself",
        (raw(frames.priority(1, depends_on=1)),),
        Reset(Code.PROTOCOL_ERROR),
    ),
    Case("http2/5.4.1", "an invalid PING ends the connection", (raw(frame(Type.PING, 0, 3, bytes(8))),), Closed()),
    Case("http2/5.4.1", "and says GOAWAY first", (raw(frame(Type.PING, 0, 3, bytes(8))),), PROTOCOL_ERROR),
    Case("http2/5.5", "unknown frame type", (raw(frame(0x16, payload=bytes(8))),), Alive()),
    Case(
        "http2/5.5",
        "unknown frame type inside a header block",
        (request(flags=END_STREAM), raw(frame(0x16, payload=bytes(8)))),
        PROTOCOL_ERROR,
    ),
)

CASES = (*STARTING, *STATES)
