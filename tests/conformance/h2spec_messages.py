"""What h2spec calls `http2`, section 8: malformed requests (RFC 7540 8.1.2.6: a stream error of PROTOCOL_ERROR)."""

from __future__ import annotations

from conformance import frames
from conformance.case import Case, GoAway, Reset, Step, Wait
from conformance.frames import END_HEADERS, END_STREAM, Code
from conformance.steps import GET, block, only, post, raw, request, with_field

METHOD, SCHEME, PATH, AUTHORITY = GET
TEST = raw(frames.data(1, b"test"))
LAST_TEST = raw(frames.data(1, b"test", END_STREAM))

_MALFORMED: tuple[tuple[str, str, tuple[Step | Wait, ...]], ...] = (
    (
        "8.1",
        "a second HEADERS without END_STREAM",
        (post(), TEST, request(fields=[("x-test", "ok")], flags=END_HEADERS)),
    ),
    ("8.1.2", "an upper-case field name", (with_field("X-TEST", "ok"),)),
    ("8.1.2.1", "an unknown pseudo-header", (with_field(":test", "ok"),)),
    ("8.1.2.1", "a pseudo-header of responses", (with_field(":status", "200"),)),
    (
        "8.1.2.1",
        "a pseudo-header in trailers",
        (post(), TEST, request(fields=[(":method", "POST")], flags=END_HEADERS)),
    ),
    ("8.1.2.1", "a pseudo-header in trailers that end", (post(), TEST, only((":method", "POST")))),
    ("8.1.2.1", "a pseudo-header after a field", (only(("x-test", "ok"), *GET),)),
    ("8.1.2.2", "connection", (with_field("connection", "keep-alive"),)),
    ("8.1.2.2", "te other than trailers", (with_field("te", "trailers, deflate"),)),
    ("8.1.2.3", "an empty :path", (only(METHOD, SCHEME, (":path", ""), AUTHORITY),)),
    ("8.1.2.3", "no :method", (only(SCHEME, PATH, AUTHORITY),)),
    ("8.1.2.3", "no :scheme", (only(METHOD, PATH, AUTHORITY),)),
    ("8.1.2.3", "no :path", (only(METHOD, SCHEME, AUTHORITY),)),
    ("8.1.2.3", "two :method", (with_field(*METHOD),)),
    ("8.1.2.3", "two :scheme", (with_field(*SCHEME),)),
    ("8.1.2.3", "two :path", (with_field(*PATH),)),
    ("8.1.2.6", "a content-length that is not the length of the DATA", (post(1, ("content-length", "1")), LAST_TEST)),
    (
        "8.1.2.6",
        "a content-length that is not the sum of the DATA",
        (post(1, ("content-length", "1")), TEST, LAST_TEST),
    ),
    ("8.1.2.6", "a content-length longer than the DATA", (post(1, ("content-length", "9")), TEST, LAST_TEST)),
)

CASES = (
    *(Case(f"http2/{section}", name, steps, Reset(Code.PROTOCOL_ERROR)) for section, name, steps in _MALFORMED),
    Case(
        "http2/8.2",
        "PUSH_PROMISE",
        (lambda peer: frames.push_promise(1, 3, block(peer, GET)),),
        GoAway(Code.PROTOCOL_ERROR),
    ),
)
