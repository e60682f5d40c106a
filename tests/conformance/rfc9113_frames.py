"""RFC 9113 3 to 6: frames of odd sizes and in odd places, where h2spec has few cases or none."""

from __future__ import annotations

from conformance import frames
from conformance.case import Alive, Answered, Case, Closed, GoAway, Reset, Step
from conformance.frames import ACK, END_HEADERS, END_STREAM, LARGEST, PREFACE, Code, Setting, Type, frame
from conformance.steps import ACKNOWLEDGED, GET, POST, block, continuation, ended, initial_window, post, raw, request

TEST = raw(frames.data(1, b"test", END_STREAM))
PROTOCOL_ERROR = GoAway(Code.PROTOCOL_ERROR)
SIZE_ERROR = GoAway(Code.FRAME_SIZE_ERROR)
EITHER = GoAway(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)


def _whole(stream: int) -> Step:
    """HEADERS and DATA in one write."""
    return lambda peer: post(stream)(peer) + frames.data(stream, b"test", END_STREAM)


PREFACES = (
    Case("9113/3.4", "no SETTINGS after the preface", (raw(PREFACE + frames.ping()),), PROTOCOL_ERROR, bare=True),
    Case(
        "9113/3.4", "first SETTINGS is an ACK", (raw(PREFACE + frames.settings(flags=ACK)),), PROTOCOL_ERROR, bare=True
    ),
    Case("9113/3.4", "HTTP/1.1", (raw(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),), Closed(), bare=True),
    Case(
        "9113/3.4",
        "a TLS ClientHello",
        (raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),),
        Closed(),
        bare=True,
    ),
    Case("9113/3.4", "the first wrong octet is enough", (raw(b"PRI * HTTP/2.0\r\n\r\nSMX"),), Closed(), bare=True),
)

SIZES = (
    Case(
        "9113/6.1",
        "padding as long as the payload",
        (post(), raw(frame(Type.DATA, 0x9, 1, b"\x05test"))),
        PROTOCOL_ERROR,
    ),
    Case("9113/6.1", "padding that leaves nothing", (post(), raw(frame(Type.DATA, 0x9, 1, b"\x04pads"))), Answered()),
    Case("9113/6.1", "PADDED without a pad length", (post(), raw(frame(Type.DATA, 0x9, 1))), EITHER),
    Case(
        "9113/6.1",
        "too much padding on a closed stream",
        (request(), ended(), raw(frame(Type.DATA, 0x9, 1, b"\x06test"))),
        GoAway(Code.PROTOCOL_ERROR, Code.STREAM_CLOSED),
    ),
    Case("9113/6.2", "PADDED without a pad length", (raw(frame(Type.HEADERS, 0xD, 1)),), EITHER),
    Case("9113/6.2", "PRIORITY flag without the five octets", (raw(frame(Type.HEADERS, 0x25, 1, bytes(4))),), EITHER),
    Case("9113/6.2", "priority and padding together", (request(depends_on=0, padding=9),), Answered()),
    Case(
        "9113/6.2", "padding that eats the priority", (raw(frame(Type.HEADERS, 0x2D, 1, b"\x06" + bytes(5))),), EITHER
    ),
    Case("9113/6.4", "RST_STREAM of 5 octets", (post(), raw(frame(Type.RST_STREAM, 0, 1, bytes(5)))), SIZE_ERROR),
    Case("9113/6.7", "PING of 9 octets", (raw(frame(Type.PING, 0, 0, bytes(9))),), SIZE_ERROR),
    Case("9113/6.7", "PING of no octets", (raw(frame(Type.PING)),), SIZE_ERROR),
    Case("9113/6.8", "GOAWAY of 7 octets", (raw(frame(Type.GOAWAY, 0, 0, bytes(7))),), SIZE_ERROR),
    Case(
        "9113/6.9",
        "WINDOW_UPDATE of 5 octets on a stream",
        (post(), raw(frame(Type.WINDOW_UPDATE, 0, 1, bytes(5)))),
        SIZE_ERROR,
    ),
    Case(
        "9113/6.9",
        "WINDOW_UPDATE of the reserved bit and 0",
        (raw(frame(Type.WINDOW_UPDATE, 0, 0, b"\x80\0\0\0")),),
        PROTOCOL_ERROR,
    ),
    Case(
        "9113/6.9",
        "WINDOW_UPDATE ignores the reserved bit",
        (raw(frame(Type.WINDOW_UPDATE, 0, 0, b"\x80\0\0\x01")),),
        Alive(),
    ),
    Case(
        "9113/4.2",
        "DATA above MAX_FRAME_SIZE right after HEADERS that came before",
        (
            *(step for stream in (1, 3, 5) for step in (_whole(stream), ended(stream))),
            lambda peer: post(7)(peer) + frames.data(7, bytes(16_385), END_STREAM),
        ),
        Reset(Code.FRAME_SIZE_ERROR, stream=7),
    ),
    Case("9113/4.2", "a length of 2^24-1 and nothing else", (raw(frame(Type.DATA, 0, 1, b"", 2**24 - 1)),), Closed()),
    Case("9113/4.2", "an unknown frame above MAX_FRAME_SIZE", (raw(frame(0x16, 0, 0, b"", 2**24 - 1)),), SIZE_ERROR),
    Case("9113/4.2", "SETTINGS above MAX_FRAME_SIZE", (raw(frame(Type.SETTINGS, 0, 0, b"", 2**24 - 4)),), SIZE_ERROR),
    Case(
        "9113/6.10",
        "CONTINUATION ignores the bit that is END_STREAM elsewhere",
        (request(fields=POST, flags=0), continuation(1, [("x-t", "1")], END_HEADERS | END_STREAM), TEST),
        Answered(),
    ),
    Case(
        "9113/6.10",
        "an empty CONTINUATION ends the block",
        (request(flags=END_STREAM), continuation(1, [])),
        Answered(),
    ),
    Case(
        "9113/6.10",
        "an empty HEADERS begins it",
        (lambda peer: frames.headers(1, b"", END_STREAM) + frames.continuation(1, block(peer, GET)),),
        Answered(),
    ),
    Case("9113/6.10", "PING inside a header block", (request(flags=END_STREAM), raw(frames.ping())), PROTOCOL_ERROR),
    Case(
        "9113/6.10",
        "SETTINGS inside a header block",
        (request(flags=END_STREAM), raw(frames.settings())),
        PROTOCOL_ERROR,
    ),
)

ORDER = (
    Case(
        "9113/5.1", "WINDOW_UPDATE on a closed stream", (request(), ended(), raw(frames.window_update(1, 9))), Alive()
    ),
    Case("9113/5.1", "RST_STREAM on a closed stream", (request(), ended(), raw(frames.rst_stream(1))), Alive()),
    Case("9113/5.1", "RST_STREAM twice", (post(), raw(frames.rst_stream(1) * 2)), Alive()),
    Case(
        "9113/5.1",
        "WINDOW_UPDATE after RST_STREAM",
        (post(), raw(frames.rst_stream(1) + frames.window_update(1, 9))),
        Alive(),
    ),
    Case("9113/5.1", "DATA on a stream that the server may open", (raw(frames.data(2, b"test")),), PROTOCOL_ERROR),
    Case("9113/5.1", "RST_STREAM on a stream that the server may open", (raw(frames.rst_stream(2)),), PROTOCOL_ERROR),
    Case(
        "9113/5.1",
        "WINDOW_UPDATE on a stream that the server may open",
        (raw(frames.window_update(2, 1)),),
        PROTOCOL_ERROR,
    ),
    Case(
        "9113/5.1.1",
        "a stream that was skipped is closed: DATA",
        (request(5), ended(5), raw(frames.data(3, b"t"))),
        GoAway(Code.PROTOCOL_ERROR, Code.STREAM_CLOSED),
    ),
    Case(
        "9113/5.1.1",
        "nothing after the largest identifier",
        (request(LARGEST), ended(LARGEST), request(1)),
        PROTOCOL_ERROR,
    ),
    Case("9113/5.1.1", "the reserved bit of the identifier is ignored", (request(1 | 1 << 31),), Answered()),
    Case(
        "9113/6.5",
        "many values of one SETTINGS",
        (raw(frames.settings([(Setting.INITIAL_WINDOW_SIZE, n) for n in range(2000)])), request()),
        Answered(),
    ),
    Case("9113/6.5", "SETTINGS ACK that nobody asked for", (raw(frames.settings(flags=ACK)), request()), Answered()),
    Case(
        "9113/6.5.2",
        "MAX_FRAME_SIZE at both ends",
        (raw(frames.settings([(5, 16384), (5, 2**24 - 1)])), request()),
        Answered(),
    ),
    Case("9113/6.5.2", "HEADER_TABLE_SIZE 2^32-1", (raw(frames.settings([(1, 2**32 - 1)])), request()), Answered()),
    Case(
        "9113/6.5.2",
        "HEADER_TABLE_SIZE 0 of the client",
        (raw(frames.settings([(1, 0)])), ACKNOWLEDGED, request()),
        Answered(),
    ),
    Case("9113/6.5.2", "MAX_HEADER_LIST_SIZE 0 of the client", (raw(frames.settings([(6, 0)])), request()), Answered()),
    Case(
        "9113/6.5.2", "MAX_CONCURRENT_STREAMS 0 of the client", (raw(frames.settings([(3, 0)])), request()), Answered()
    ),
    Case(
        "9113/6.9.2",
        "a window that settings and updates make too large",
        (initial_window(0), post(), raw(frames.window_update(1, LARGEST)), initial_window(1)),
        GoAway(Code.FLOW_CONTROL_ERROR),
    ),
    Case(
        "9113/6.9.2",
        "a window of exactly 2^31-1",
        (initial_window(0), post(), raw(frames.window_update(1, LARGEST)), TEST),
        Answered(),
    ),
    Case("9113/6.8", "GOAWAY while a stream is open lets it finish", (post(), raw(frames.goaway()), TEST), Answered()),
    Case(
        "9113/6.3",
        "PRIORITY of another length on a closed stream",
        (request(), ended(), raw(frame(Type.PRIORITY, 0, 1, bytes(6)))),
        Reset(Code.FRAME_SIZE_ERROR),
    ),
    Case(
        "9113/5.3.2",
        "PRIORITY_UPDATE (RFC 9218) is ignored",
        (raw(frame(0x10, 0, 0, b"\0\0\0\x01u=1")), request()),
        Answered(),
    ),
)

CASES = (*PREFACES, *SIZES, *ORDER)
