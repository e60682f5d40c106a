"""What h2spec calls `generic`: a server that only does what it should must pass all of it."""

from __future__ import annotations

from conformance import frames
from conformance.case import Acknowledged, Alive, AliveOrClosed, Answered, Case, DataOf, Pong
from conformance.frames import END_HEADERS, END_STREAM, LARGEST, Setting
from conformance.steps import (
    GET,
    POST,
    WHOLE,
    continuation,
    ended,
    initial_window,
    pieces,
    post,
    raw,
    request,
    with_field,
)

# RFC 7541 literals of `user-agent: h2spec` and `x-test: h2spec`, plain and in Huffman code.
USER_AGENT = b"\x0auser-agent\x06h2spec"
USER_AGENT_HUFFMAN = bytes.fromhex("87b505b161cc5a93849c48aca4")
X_TEST = b"\x06x-test\x06h2spec"
X_TEST_HUFFMAN = bytes.fromhex("85f2b24a84ff849c48aca4")

CONNECTION = (
    Case("generic/1", "client connection preface", (), Alive()),
    Case("generic/2", "PRIORITY on an idle stream", (raw(frames.priority(1)),), Alive()),
    Case(
        "generic/2",
        "WINDOW_UPDATE on a half-closed (remote) stream",
        (initial_window(0), request(), raw(frames.window_update(1, 1))),
        DataOf(1),
    ),
    Case(
        "generic/2",
        "PRIORITY on a half-closed (remote) stream",
        (initial_window(0), request(), raw(frames.priority(1) + frames.window_update(1, 1))),
        DataOf(1),
    ),
    Case(
        "generic/2",
        "RST_STREAM on a half-closed (remote) stream",
        (initial_window(0), request(), raw(frames.rst_stream(1))),
        Alive(),
    ),
    Case("generic/2", "PRIORITY on a closed stream", (request(), ended(), raw(frames.priority(1))), Alive()),
)

FRAMES = (
    Case("generic/3.1", "DATA", (post(), raw(frames.data(1, b"test", END_STREAM))), Answered()),
    Case(
        "generic/3.1",
        "several DATA",
        (post(), raw(frames.data(1, b"test") + frames.data(1, b"test", END_STREAM))),
        Answered(),
    ),
    Case("generic/3.1", "DATA with padding", (post(), raw(frames.data(1, b"test", END_STREAM, padding=6))), Answered()),
    Case("generic/3.2", "HEADERS", (request(),), Answered()),
    Case("generic/3.2", "HEADERS with padding", (request(padding=6),), Answered()),
    Case("generic/3.2", "HEADERS with priority", (request(depends_on=0),), Answered()),
    Case("generic/3.3", "PRIORITY with weight 1", (raw(frames.priority(1, weight=0)), request()), Answered()),
    Case("generic/3.3", "PRIORITY with weight 256", (raw(frames.priority(1, weight=255)), request()), Answered()),
    Case("generic/3.3", "PRIORITY with a dependency", (raw(frames.priority(3, depends_on=1)), request()), Answered()),
    Case("generic/3.3", "PRIORITY, exclusive", (raw(frames.priority(1, exclusive=True)), request()), Answered()),
    Case(
        "generic/3.3",
        "PRIORITY on an idle stream, then HEADERS on a lower one",
        (raw(frames.priority(3, weight=255)), request()),
        Answered(),
    ),
    Case("generic/3.4", "RST_STREAM", (post(), raw(frames.rst_stream(1))), Alive()),
    Case("generic/3.5", "SETTINGS", (raw(frames.settings([(Setting.ENABLE_PUSH, 0)])),), Acknowledged()),
    Case("generic/3.7", "PING", (raw(frames.ping(b"h2spec\0\0")),), Pong(b"h2spec\0\0")),
    Case("generic/3.8", "GOAWAY", (raw(frames.goaway(debug=b"h2spec")),), AliveOrClosed()),
    Case("generic/3.9", "WINDOW_UPDATE of the connection", (raw(frames.window_update(0, 1)), request()), Answered()),
    Case(
        "generic/3.9",
        "WINDOW_UPDATE of a stream",
        (initial_window(0), request(), raw(frames.window_update(1, 1))),
        DataOf(1),
    ),
    Case(
        "generic/3.10",
        "CONTINUATION",
        (request(flags=END_STREAM), continuation(1, [("x-dummy0", "x" * 4000)])),
        Answered(),
    ),
    Case(
        "generic/3.10",
        "several CONTINUATION",
        (
            request(flags=END_STREAM),
            continuation(1, [("x-dummy0", "x" * 4000)], 0),
            continuation(1, [("x-dummy0", "x" * 4000)]),
        ),
        Answered(),
    ),
    Case("generic/3.10", "a block in five parts", (pieces(1, GET, WHOLE, 5),), Answered()),
    Case(
        "generic/3.10",
        "a block in thirty parts",
        (pieces(1, [*GET, ("x-long", "abcdefgh" * 9)], WHOLE, 30),),
        Answered(),
    ),
)

MESSAGES = (
    Case("generic/4", "GET", (request(),), Answered()),
    Case("generic/4", "HEAD", (request(fields=[(":method", "HEAD"), *GET[1:]]),), Answered()),
    Case("generic/4", "POST", (post(), raw(frames.data(1, b"test", END_STREAM))), Answered()),
    Case(
        "generic/4",
        "POST with trailers",
        (post(1, ("trailer", "x-test")), raw(frames.data(1, b"test")), request(fields=[("x-test", "ok")])),
        Answered(),
    ),
    Case("generic/4", "the largest stream identifier", (request(LARGEST),), Answered(LARGEST)),
    Case("generic/4", "POST without a body", (request(fields=POST, flags=WHOLE),), Answered()),
    Case("generic/4", "several cookies", (with_field("cookie", "a=b", [*GET, ("cookie", "c=d")]),), Answered()),
    Case(
        "generic/4",
        "POST whose HEADERS and trailers are cut in pieces",
        (pieces(1, POST, END_HEADERS, 5), raw(frames.data(1, b"test")), pieces(1, [("x-test", "ok")], WHOLE, 3)),
        Answered(),
    ),
)

HPACK = tuple(
    Case("generic/5", name, (request(after=after, before=before),), Answered())
    for name, before, after in (
        ("an indexed field", b"", b"\xba"),
        ("literal with incremental indexing, indexed name", b"", b"\x7a\x06h2spec"),
        ("literal with incremental indexing, indexed name, Huffman", b"", b"\x7a\x84\x9c\x48\xac\xa4"),
        ("literal with incremental indexing, new name", b"", b"\x40" + X_TEST),
        ("literal with incremental indexing, new name, Huffman", b"", b"\x40" + X_TEST_HUFFMAN),
        ("literal with incremental indexing, a known name as new", b"", b"\x40" + USER_AGENT),
        ("literal with incremental indexing, a known name as new, Huffman", b"", b"\x40" + USER_AGENT_HUFFMAN),
        ("literal without indexing, indexed name", b"", b"\x0f\x2b\x06h2spec"),
        ("literal without indexing, indexed name, Huffman", b"", b"\x0f\x2b\x84\x9c\x48\xac\xa4"),
        ("literal without indexing, new name", b"", b"\x00" + X_TEST),
        ("literal without indexing, new name, Huffman", b"", b"\x00" + X_TEST_HUFFMAN),
        ("literal never indexed, indexed name", b"", b"\x1f\x2b\x06h2spec"),
        ("literal never indexed, indexed name, Huffman", b"", b"\x1f\x2b\x84\x9c\x48\xac\xa4"),
        ("literal never indexed, new name", b"", b"\x10" + X_TEST),
        ("literal never indexed, new name, Huffman", b"", b"\x10" + X_TEST_HUFFMAN),
        ("a dynamic table size update", b"\x20", b""),
        ("several dynamic table size updates", b"\x20\x3f\xe1\x1f", b""),
        ("an entry of the dynamic table that the same block made", b"", b"\x40" + X_TEST + b"\xbe"),
    )
)

CASES = (*CONNECTION, *FRAMES, *MESSAGES, *HPACK)
