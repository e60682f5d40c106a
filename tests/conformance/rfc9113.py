"""What RFC 9113 says beyond h2spec's cases: field validity, `:authority`, content-length, and the frames in odd places."""

from __future__ import annotations

from conformance import frames
from conformance.case import Alive, Answered, Case, Closed, GoAway, Reset
from conformance.frames import ACK, END_HEADERS, END_STREAM, LARGEST, PREFACE, Code, Setting, Type, frame
from conformance.steps import (
    ACKNOWLEDGED,
    GET,
    POST,
    RESET_CAME,
    block,
    continuation,
    ended,
    initial_window,
    literal,
    only,
    post,
    raw,
    request,
    with_field,
)

METHOD, SCHEME, PATH, AUTHORITY = GET
MALFORMED = Reset(Code.PROTOCOL_ERROR)
TEST = raw(frames.data(1, b"test", END_STREAM))
PROTOCOL_ERROR = GoAway(Code.PROTOCOL_ERROR)
SIZE_ERROR = GoAway(Code.FRAME_SIZE_ERROR)

PREFACES = (
    Case("9113/3.4", "no SETTINGS after the preface", (raw(PREFACE + frames.ping()),), PROTOCOL_ERROR, bare=True),
    Case("9113/3.4", "first SETTINGS is an ACK", (raw(PREFACE + frames.settings(flags=ACK)),), PROTOCOL_ERROR, bare=True),
    Case("9113/3.4", "HTTP/1.1", (raw(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),), Closed(), bare=True),
    Case("9113/3.4", "a TLS ClientHello", (raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),), Closed(), bare=True),
    Case("9113/3.4", "the first wrong octet is enough", (raw(b"PRI * HTTP/2.0\r\n\r\nSMX"),), Closed(), bare=True),
)  # fmt: skip

# Names and values that are sent as literals, because encoders refuse or change some of them.
FIELDS = (
    *(
        Case("9113/8.2.1", f"a name with {what}", (request(after=literal(name, "v")),), MALFORMED)
        for what, name in (
            ("nothing in it", ""),
            ("NUL", "a\0b"),
            ("a space", "a b"),
            ("a tab", "a\tb"),
            ("CR", "a\rb"),
            ("LF", "a\nb"),
            ("DEL", "a\x7fb"),
            ("an octet above 0x7f", "a\xe9b"),
            ("0xff", "\xff"),
            ("a colon inside", "a:b"),
            ("a colon at its end", "ab:"),
            ("an upper-case letter at its end", "aB"),
            ("only a colon", ":"),
        )
    ),
    *(
        Case("9113/8.2.1", f"a value with {what}", (request(after=literal("x-test", value)),), MALFORMED)
        for what, value in (
            ("NUL", "a\0b"),
            ("CR", "a\rb"),
            ("LF", "a\nb"),
            ("a space before it", " a"),
            ("a space after it", "a "),
            ("a tab before it", "\ta"),
            ("a tab after it", "a\t"),
        )
    ),
    Case("9113/8.2.1", "a value of octets above 0x7f", (request(after=literal("x-test", "\xff\xfe\x80")),), Answered()),
    Case("9113/8.2.1", "an empty value", (with_field("x-test", ""),), Answered()),
    Case("9113/8.2.1", "spaces and tabs inside a value", (with_field("x-test", "a \t b"),), Answered()),
    *(
        Case("9113/8.2.1", f"{name} with LF", (request(fields=fields, after=literal(name, "a\nb")),), MALFORMED)
        for name, fields in ((":path", [METHOD, SCHEME, AUTHORITY]), (":authority", [METHOD, SCHEME, PATH]))
    ),
    *(
        Case("9113/8.2.2", f"{name}: {value}", (with_field(name, value),), MALFORMED)
        for name, value in (
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", ""),
        )
    ),
    Case("9113/8.2.2", "te: trailers", (with_field("te", "trailers"),), Answered()),
    Case("9113/8.2.2", "connection in trailers", (post(), raw(frames.data(1, b"test")), only(("connection", "close"))), MALFORMED),
    Case("9113/8.2.1", "upper case in trailers", (post(), raw(frames.data(1, b"test")), only(("X-Test", "ok"))), MALFORMED),
)  # fmt: skip

PSEUDO = (
    Case("9113/8.3.1", "two :authority", (with_field(*AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "neither :authority nor host", (only(METHOD, SCHEME, PATH),), MALFORMED),
    Case("9113/8.3.1", "host instead of :authority", (only(METHOD, SCHEME, PATH, ("host", "a.example")),), Answered()),
    Case("9113/8.3.1", "an empty :authority", (only(METHOD, SCHEME, PATH, (":authority", "")),), MALFORMED),
    Case("9113/8.3.1", "userinfo in :authority", (only(METHOD, SCHEME, PATH, (":authority", "u:p@a")),), MALFORMED),
    Case("9113/8.3.1", "an empty :method", (only((":method", ""), SCHEME, PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "an empty :scheme", (only(METHOD, (":scheme", ""), PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "a :path without its slash", (only(METHOD, SCHEME, (":path", "a"), AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "OPTIONS *", (only((":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY),), Answered()),
    Case("9113/8.5", "CONNECT with :path", (only((":method", "CONNECT"), SCHEME, PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.5", "CONNECT without :authority", (only((":method", "CONNECT")),), MALFORMED),
    Case("8441/4", ":protocol without ENABLE_CONNECT_PROTOCOL",
         (only((":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.3", "no fields at all", (raw(frames.headers(1, b"")),), MALFORMED),
    Case("9113/8.3", "a malformed request leaves HPACK in step",
         (request(1, [*GET, ("x-one", "1"), ("X-TWO", "2")]), RESET_CAME, request(3, [*GET, ("x-one", "1")])),
         Answered(3)),
)  # fmt: skip

LENGTHS = (
    *(
        Case("9113/8.1.1", f"content-length {what}", (post(1, ("content-length", value)), TEST), MALFORMED)
        for what, value in (
            ("-4", "-4"),
            ("+4", "+4"),
            ("4.0", "4.0"),
            ("0x4", "0x4"),
            ("with an underscore", "0_4"),
            ("empty", ""),
            ("four", "four"),
            ("4, 4 and 5", "4,5"),
            ("of 5000 digits", "9" * 5000),
            ("in other digits", "\xb2"),
            ("of 2^64 + 4", str(2**64 + 4)),
        )
    ),
    Case("9113/8.1.1", "two content-length that differ",
         (post(1, ("content-length", "4"), ("content-length", "5")), TEST), MALFORMED),
    Case("9113/8.1.1", "the right content-length", (post(1, ("content-length", "4")), TEST), Answered()),
    Case("9113/8.1.1", "content-length does not count padding",
         (post(1, ("content-length", "4")), raw(frames.data(1, b"test", END_STREAM, padding=200))), Answered()),
    Case("9113/8.1.1", "content-length and an end without DATA", (with_field("content-length", "4", POST),), MALFORMED),
    Case("9113/8.1.1", "content-length 0 and an end without DATA", (with_field("content-length", "0", POST),), Answered()),
    Case("9113/8.1.1", "content-length, DATA and trailers", (post(1, ("content-length", "4")), raw(frames.data(1, b"test")), only(("x-t", "1"))), Answered()),
    Case("9113/8.1.1", "content-length not reached when trailers come", (post(1, ("content-length", "5")), raw(frames.data(1, b"test")), only(("x-t", "1"))), MALFORMED),
    Case("9113/8.1.1", "content-length exceeded before the end", (post(1, ("content-length", "4")), raw(frames.data(1, b"tests"))), MALFORMED),
)  # fmt: skip

SIZES = (
    Case("9113/6.1", "padding as long as the payload", (post(), raw(frame(Type.DATA, 0x9, 1, b"\x05test"))), PROTOCOL_ERROR),
    Case("9113/6.1", "padding that leaves nothing", (post(), raw(frame(Type.DATA, 0x9, 1, b"\x04pads"))), Answered()),
    Case("9113/6.1", "PADDED without a pad length", (post(), raw(frame(Type.DATA, 0x9, 1))), GoAway(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)),
    Case("9113/6.1", "too much padding on a closed stream", (request(), ended(), raw(frame(Type.DATA, 0x9, 1, b"\x06test"))), GoAway(Code.PROTOCOL_ERROR, Code.STREAM_CLOSED)),
    Case("9113/6.2", "PADDED without a pad length", (raw(frame(Type.HEADERS, 0xD, 1)),), GoAway(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)),
    Case("9113/6.2", "PRIORITY flag without the five octets", (raw(frame(Type.HEADERS, 0x25, 1, bytes(4))),), GoAway(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)),
    Case("9113/6.2", "priority and padding together", (request(depends_on=0, padding=9),), Answered()),
    Case("9113/6.2", "padding that eats the priority", (raw(frame(Type.HEADERS, 0x2D, 1, b"\x06" + bytes(5))),), GoAway(Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)),
    Case("9113/6.4", "RST_STREAM of 5 octets", (post(), raw(frame(Type.RST_STREAM, 0, 1, bytes(5)))), SIZE_ERROR),
    Case("9113/6.7", "PING of 9 octets", (raw(frame(Type.PING, 0, 0, bytes(9))),), SIZE_ERROR),
    Case("9113/6.7", "PING of no octets", (raw(frame(Type.PING)),), SIZE_ERROR),
    Case("9113/6.8", "GOAWAY of 7 octets", (raw(frame(Type.GOAWAY, 0, 0, bytes(7))),), SIZE_ERROR),
    Case("9113/6.9", "WINDOW_UPDATE of 5 octets on a stream", (post(), raw(frame(Type.WINDOW_UPDATE, 0, 1, bytes(5)))), SIZE_ERROR),
    Case("9113/6.9", "WINDOW_UPDATE of the reserved bit and 0", (raw(frame(Type.WINDOW_UPDATE, 0, 0, b"\x80\0\0\0")),), PROTOCOL_ERROR),
    Case("9113/6.9", "WINDOW_UPDATE ignores the reserved bit", (raw(frame(Type.WINDOW_UPDATE, 0, 0, b"\x80\0\0\x01")),), Alive()),
    Case("9113/4.2", "a length of 2^24-1 and nothing else", (raw(frame(Type.DATA, 0, 1, b"", 2**24 - 1)),), Closed()),
    Case("9113/4.2", "an unknown frame above MAX_FRAME_SIZE", (raw(frame(0x16, 0, 0, b"", 2**24 - 1)),), SIZE_ERROR),
    Case("9113/4.2", "SETTINGS above MAX_FRAME_SIZE", (raw(frame(Type.SETTINGS, 0, 0, b"", 2**24 - 4)),), SIZE_ERROR),
    Case("9113/6.10", "CONTINUATION ignores the bit that is END_STREAM elsewhere",
         (request(fields=POST, flags=0), continuation(1, [("x-t", "1")], END_HEADERS | END_STREAM), TEST), Answered()),
    Case("9113/6.10", "an empty CONTINUATION ends the block", (request(flags=END_STREAM), continuation(1, [])), Answered()),
    Case("9113/6.10", "an empty HEADERS begins it",
         (lambda peer: frames.headers(1, b"", END_STREAM) + frames.continuation(1, block(peer, GET)),), Answered()),
    Case("9113/6.10", "PING inside a header block", (request(flags=END_STREAM), raw(frames.ping())), PROTOCOL_ERROR),
    Case("9113/6.10", "SETTINGS inside a header block", (request(flags=END_STREAM), raw(frames.settings())), PROTOCOL_ERROR),
)  # fmt: skip

ORDER = (
    Case("9113/5.1", "WINDOW_UPDATE on a closed stream", (request(), ended(), raw(frames.window_update(1, 9))), Alive()),
    Case("9113/5.1", "RST_STREAM on a closed stream", (request(), ended(), raw(frames.rst_stream(1))), Alive()),
    Case("9113/5.1", "RST_STREAM twice", (post(), raw(frames.rst_stream(1) * 2)), Alive()),
    Case("9113/5.1", "WINDOW_UPDATE after RST_STREAM", (post(), raw(frames.rst_stream(1) + frames.window_update(1, 9))), Alive()),
    Case("9113/5.1", "DATA on a stream that the server may open", (raw(frames.data(2, b"test")),), PROTOCOL_ERROR),
    Case("9113/5.1", "RST_STREAM on a stream that the server may open", (raw(frames.rst_stream(2)),), PROTOCOL_ERROR),
    Case("9113/5.1", "WINDOW_UPDATE on a stream that the server may open", (raw(frames.window_update(2, 1)),), PROTOCOL_ERROR),
    Case("9113/5.1.1", "a stream that was skipped is closed: DATA", (request(5), ended(5), raw(frames.data(3, b"t"))), GoAway(Code.PROTOCOL_ERROR, Code.STREAM_CLOSED)),
    Case("9113/5.1.1", "nothing after the largest identifier", (request(LARGEST), ended(LARGEST), request(1)), PROTOCOL_ERROR),
    Case("9113/5.1.1", "the reserved bit of the identifier is ignored", (request(1 | 1 << 31),), Answered()),
    Case("9113/6.5", "many values of one SETTINGS", (raw(frames.settings([(Setting.INITIAL_WINDOW_SIZE, n) for n in range(2000)])), request()), Answered()),
    Case("9113/6.5", "SETTINGS ACK that nobody asked for", (raw(frames.settings(flags=ACK)), request()), Answered()),
    Case("9113/6.5.2", "MAX_FRAME_SIZE at both ends", (raw(frames.settings([(5, 16384), (5, 2**24 - 1)])), request()), Answered()),
    Case("9113/6.5.2", "HEADER_TABLE_SIZE 2^32-1", (raw(frames.settings([(1, 2**32 - 1)])), request()), Answered()),
    Case("9113/6.5.2", "HEADER_TABLE_SIZE 0 of the client", (raw(frames.settings([(1, 0)])), ACKNOWLEDGED, request()), Answered()),
    Case("9113/6.5.2", "MAX_HEADER_LIST_SIZE 0 of the client", (raw(frames.settings([(6, 0)])), request()), Answered()),
    Case("9113/6.5.2", "MAX_CONCURRENT_STREAMS 0 of the client", (raw(frames.settings([(3, 0)])), request()), Answered()),
    Case("9113/6.9.2", "a window that settings and updates make too large",
         (initial_window(0), post(), raw(frames.window_update(1, LARGEST)), initial_window(1)), GoAway(Code.FLOW_CONTROL_ERROR)),
    Case("9113/6.9.2", "a window of exactly 2^31-1", (initial_window(0), post(), raw(frames.window_update(1, LARGEST)), TEST), Answered()),
    Case("9113/6.8", "GOAWAY while a stream is open lets it finish", (post(), raw(frames.goaway()), TEST), Answered()),
    Case("9113/6.3", "PRIORITY of another length on a closed stream", (request(), ended(), raw(frame(Type.PRIORITY, 0, 1, bytes(6)))), Reset(Code.FRAME_SIZE_ERROR)),
    Case("9113/5.3.2", "PRIORITY_UPDATE (RFC 9218) is ignored", (raw(frame(0x10, 0, 0, b"\0\0\0\x01u=1")), request()), Answered()),
)  # fmt: skip

CASES = (*PREFACES, *FIELDS, *PSEUDO, *LENGTHS, *SIZES, *ORDER)
