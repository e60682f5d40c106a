"""RFC 9113 8: fields, pseudo-headers and content-length, where h2spec has few cases or none."""

from __future__ import annotations

from conformance import frames
from conformance.case import Answered, Case, Reset
from conformance.frames import END_STREAM, Code
from conformance.steps import GET, POST, RESET_CAME, literal, only, post, raw, request, with_field

METHOD, SCHEME, PATH, AUTHORITY = GET
MALFORMED = Reset(Code.PROTOCOL_ERROR)
TEST = raw(frames.data(1, b"test"))
LAST_TEST = raw(frames.data(1, b"test", END_STREAM))

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
    Case("9113/8.2.2", "connection in trailers", (post(), TEST, only(("connection", "close"))), MALFORMED),
    Case("9113/8.2.1", "upper case in trailers", (post(), TEST, only(("X-Test", "ok"))), MALFORMED),
)

PSEUDO = (
    Case("9113/8.3.1", "two :authority", (with_field(*AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "neither :authority nor host", (only(METHOD, SCHEME, PATH),), MALFORMED),
    Case("9113/8.3.1", "host instead of :authority", (only(METHOD, SCHEME, PATH, ("host", "a.example")),), Answered()),
    Case("9113/8.3.1", "host and :authority, equal", (with_field("host", AUTHORITY[1]),), Answered()),
    Case("9113/8.3.1", "host and :authority, different", (with_field("host", "b.example"),), MALFORMED),
    Case("9113/8.5", "CONNECT as it should be", (only((":method", "CONNECT"), AUTHORITY),), Answered()),
    Case("9113/8.3.1", "an empty :authority", (only(METHOD, SCHEME, PATH, (":authority", "")),), MALFORMED),
    Case("9113/8.3.1", "userinfo in :authority", (only(METHOD, SCHEME, PATH, (":authority", "u:p@a")),), MALFORMED),
    Case("9113/8.3.1", "an empty :method", (only((":method", ""), SCHEME, PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "an empty :scheme", (only(METHOD, (":scheme", ""), PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "a :path without its slash", (only(METHOD, SCHEME, (":path", "a"), AUTHORITY),), MALFORMED),
    Case("9113/8.3.1", "OPTIONS *", (only((":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY),), Answered()),
    Case("9113/8.5", "CONNECT with :path", (only((":method", "CONNECT"), SCHEME, PATH, AUTHORITY),), MALFORMED),
    Case("9113/8.5", "CONNECT without :authority", (only((":method", "CONNECT")),), MALFORMED),
    Case(
        "8441/4",
        ":protocol without ENABLE_CONNECT_PROTOCOL",
        (only((":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY),),
        MALFORMED,
    ),
    Case("9113/8.3", "no fields at all", (raw(frames.headers(1, b"")),), MALFORMED),
    Case(
        "9113/8.3",
        "a malformed request leaves HPACK in step",
        (request(1, [*GET, ("x-one", "1"), ("X-TWO", "2")]), RESET_CAME, request(3, [*GET, ("x-one", "1")])),
        Answered(3),
    ),
)

LENGTHS = (
    *(
        Case("9113/8.1.1", f"content-length {what}", (post(1, ("content-length", value)), LAST_TEST), MALFORMED)
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
    Case(
        "9113/8.1.1",
        "two content-length that differ",
        (post(1, ("content-length", "4"), ("content-length", "5")), LAST_TEST),
        MALFORMED,
    ),
    Case("9113/8.1.1", "the right content-length", (post(1, ("content-length", "4")), LAST_TEST), Answered()),
    Case(
        "9113/8.1.1",
        "content-length does not count padding",
        (post(1, ("content-length", "4")), raw(frames.data(1, b"test", END_STREAM, padding=200))),
        Answered(),
    ),
    Case("9113/8.1.1", "content-length and an end without DATA", (with_field("content-length", "4", POST),), MALFORMED),
    Case(
        "9113/8.1.1", "content-length 0 and an end without DATA", (with_field("content-length", "0", POST),), Answered()
    ),
    Case(
        "9113/8.1.1",
        "content-length, DATA and trailers",
        (post(1, ("content-length", "4")), TEST, only(("x-t", "1"))),
        Answered(),
    ),
    Case(
        "9113/8.1.1",
        "content-length not reached when trailers come",
        (post(1, ("content-length", "5")), TEST, only(("x-t", "1"))),
        MALFORMED,
    ),
    Case(
        "9113/8.1.1",
        "content-length exceeded before the end",
        (post(1, ("content-length", "4")), raw(frames.data(1, b"tests"))),
        MALFORMED,
    ),
)

CASES = (*FIELDS, *PSEUDO, *LENGTHS)
