"""What h2spec calls `http2`, sections 6 and 7 of RFC 7540, with the answers it accepts, or stricter ones."""

from __future__ import annotations

from conformance import frames
from conformance.case import (
    Acknowledged,
    Alive,
    AliveOrClosed,
    Answered,
    Case,
    DataOf,
    GoAway,
    Pong,
    Reset,
)
from conformance.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    LARGEST,
    Code,
    Setting,
    Type,
    frame,
)
from conformance.steps import (
    ACKNOWLEDGED,
    DATA_CAME,
    GET,
    POST,
    block,
    continuation,
    initial_window,
    post,
    raw,
    request,
)

DUMMY = [("x-dummy0", "x" * 4000)]
PROTOCOL_ERROR = GoAway(Code.PROTOCOL_ERROR)
FRAME_SIZE_ERROR = GoAway(Code.FRAME_SIZE_ERROR)


DATA_AND_HEADERS = (
    Case("http2/6.1", "DATA on stream 0", (raw(frames.data(0, b"test", END_STREAM)),), PROTOCOL_ERROR),
    Case(
        "http2/6.1",
        "DATA on a stream neither open nor half-closed (local)",
        (request(fields=POST), raw(frames.data(1, b"test", END_STREAM))),
        Reset(Code.STREAM_CLOSED),
    ),
    Case(
        "http2/6.1",
        "DATA with too much padding",
        (post(1, ("content-length", "4")), raw(frame(Type.DATA, 0x9, 1, b"\x06test"))),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/6.2",
        "HEADERS without END_HEADERS, then PRIORITY",
        (request(flags=0), raw(frames.priority(1)), continuation(1, DUMMY)),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/6.2",
        "HEADERS without END_HEADERS, then HEADERS of another stream",
        (request(flags=0), request(3), continuation(1, DUMMY)),
        PROTOCOL_ERROR,
    ),
    Case("http2/6.2", "HEADERS on stream 0", (request(0),), PROTOCOL_ERROR),
    Case(
        "http2/6.2",
        "HEADERS with too much padding",
        (lambda peer: frame(Type.HEADERS, 0xD, 1, bytes((len(block(peer, GET)) + 1,)) + block(peer, GET)[:4]),),
        PROTOCOL_ERROR,
    ),
    Case("http2/6.3", "PRIORITY on stream 0", (raw(frames.priority(0)),), PROTOCOL_ERROR),
    Case(
        "http2/6.3",
        "PRIORITY of another length than 5",
        (raw(frame(Type.PRIORITY, 0, 1, bytes(4))),),
        Reset(Code.FRAME_SIZE_ERROR),
    ),
    Case("http2/6.4", "RST_STREAM on stream 0", (raw(frames.rst_stream(0)),), PROTOCOL_ERROR),
    Case("http2/6.4", "RST_STREAM on an idle stream", (raw(frames.rst_stream(1)),), PROTOCOL_ERROR),
    Case(
        "http2/6.4",
        "RST_STREAM of another length than 4",
        (post(), raw(frame(Type.RST_STREAM, 0, 1, bytes(3)))),
        FRAME_SIZE_ERROR,
    ),
)

CONNECTION = (
    Case("http2/6.5", "SETTINGS ACK with a payload", (raw(frame(Type.SETTINGS, ACK, 0, b"\0")),), FRAME_SIZE_ERROR),
    Case(
        "http2/6.5",
        "SETTINGS on a stream",
        (raw(frame(Type.SETTINGS, 0, 1, b"\0\x03\0\0\0\x64")),),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/6.5",
        "SETTINGS whose length is no multiple of 6",
        (raw(frame(Type.SETTINGS, 0, 0, b"\0\x03\0")),),
        FRAME_SIZE_ERROR,
    ),
    *(
        Case("http2/6.5.2", name, (raw(frames.settings([(setting, value)])),), GoAway(code))
        for name, setting, value, code in (
            ("ENABLE_PUSH 2", Setting.ENABLE_PUSH, 2, Code.PROTOCOL_ERROR),
            ("INITIAL_WINDOW_SIZE 2^31", Setting.INITIAL_WINDOW_SIZE, 2**31, Code.FLOW_CONTROL_ERROR),
            ("INITIAL_WINDOW_SIZE 2^32-1", Setting.INITIAL_WINDOW_SIZE, 2**32 - 1, Code.FLOW_CONTROL_ERROR),
            ("MAX_FRAME_SIZE 2^14-1", Setting.MAX_FRAME_SIZE, 16383, Code.PROTOCOL_ERROR),
            ("MAX_FRAME_SIZE 2^24", Setting.MAX_FRAME_SIZE, 2**24, Code.PROTOCOL_ERROR),
        )
    ),
    Case("http2/6.5.2", "an unknown setting", (raw(frames.settings([(0xFF, 1)])),), Alive()),
    Case(
        "http2/6.5.3",
        "the last of two INITIAL_WINDOW_SIZE counts",
        (initial_window(100, 1), ACKNOWLEDGED, request()),
        DataOf(1),
    ),
    Case(
        "http2/6.5.3",
        "SETTINGS is acknowledged",
        (raw(frames.settings([(Setting.ENABLE_PUSH, 0)])),),
        Acknowledged(),
    ),
    Case("http2/6.7", "PING", (raw(frames.ping(b"h2spec\0\0")),), Pong(b"h2spec\0\0")),
    Case(
        "http2/6.7",
        "PING with ACK is not answered",
        (raw(frames.ping(b"invalid\0", ACK) + frames.ping(b"h2spec\0\0")),),
        Pong(b"h2spec\0\0"),
    ),
    Case("http2/6.7", "PING on a stream", (raw(frame(Type.PING, 0, 1, bytes(8))),), PROTOCOL_ERROR),
    Case("http2/6.7", "PING of another length than 8", (raw(frame(Type.PING, 0, 0, bytes(6))),), FRAME_SIZE_ERROR),
    Case("http2/6.8", "GOAWAY on a stream", (raw(frames.goaway(stream=1)),), PROTOCOL_ERROR),
)

WINDOWS = (
    Case("http2/6.9", "increment 0 of the connection", (raw(frames.window_update(0, 0)),), PROTOCOL_ERROR),
    Case(
        "http2/6.9",
        "increment 0 of a stream",
        (request(flags=END_HEADERS), raw(frames.window_update(1, 0))),
        Reset(Code.PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.9",
        "WINDOW_UPDATE of another length than 4",
        (raw(frame(Type.WINDOW_UPDATE, 0, 0, b"\0\0\x01")),),
        FRAME_SIZE_ERROR,
    ),
    Case("http2/6.9.1", "a window of 1 octet", (initial_window(1), ACKNOWLEDGED, request()), DataOf(1)),
    Case(
        "http2/6.9.1",
        "the connection's window above 2^31-1",
        (raw(frames.window_update(0, LARGEST) * 2),),
        GoAway(Code.FLOW_CONTROL_ERROR),
    ),
    Case(
        "http2/6.9.1",
        "a stream's window above 2^31-1",
        (request(flags=END_HEADERS), raw(frames.window_update(1, LARGEST) * 2)),
        Reset(Code.FLOW_CONTROL_ERROR, exactly=True),
    ),
    Case(
        "http2/6.9.2",
        "INITIAL_WINDOW_SIZE changed after HEADERS",
        (initial_window(0), ACKNOWLEDGED, request(), initial_window(1), ACKNOWLEDGED),
        DataOf(1),
    ),
    Case(
        "http2/6.9.2",
        "INITIAL_WINDOW_SIZE that makes a window negative",
        (
            initial_window(3),
            ACKNOWLEDGED,
            request(),
            DATA_CAME,
            initial_window(2),
            ACKNOWLEDGED,
            raw(frames.window_update(1, 2)),
        ),
        DataOf(1),
    ),
    Case("http2/6.9.2", "INITIAL_WINDOW_SIZE 2^31", (initial_window(2**31),), GoAway(Code.FLOW_CONTROL_ERROR)),
)

CONTINUATIONS = (
    Case(
        "http2/6.10",
        "several CONTINUATION after HEADERS",
        (request(flags=END_STREAM), continuation(1, DUMMY, 0), continuation(1, DUMMY)),
        Answered(),
    ),
    Case(
        "http2/6.10",
        "CONTINUATION, then DATA",
        (request(fields=POST, flags=0), continuation(1, DUMMY, 0), raw(frames.data(1, b"test", END_STREAM))),
        PROTOCOL_ERROR,
    ),
    Case("http2/6.10", "CONTINUATION on stream 0", (request(flags=END_STREAM), continuation(0, DUMMY)), PROTOCOL_ERROR),
    Case("http2/6.10", "CONTINUATION after END_HEADERS", (post(), continuation(1, DUMMY)), PROTOCOL_ERROR),
    Case(
        "http2/6.10",
        "CONTINUATION after CONTINUATION with END_HEADERS",
        (request(fields=POST, flags=0), continuation(1, DUMMY), continuation(1, DUMMY)),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/6.10",
        "CONTINUATION after DATA",
        (post(), raw(frames.data(1, b"test")), continuation(1, DUMMY, 0)),
        PROTOCOL_ERROR,
    ),
    Case(
        "http2/6.10",
        "CONTINUATION of another stream",
        (request(flags=END_STREAM), continuation(3, DUMMY)),
        PROTOCOL_ERROR,
    ),
    Case("http2/7", "GOAWAY with an unknown code", (raw(frames.goaway(0, 0xFF)),), AliveOrClosed()),
    Case("http2/7", "RST_STREAM with an unknown code", (post(), raw(frames.rst_stream(1, 0xFF))), Alive()),
)

CASES = (*DATA_AND_HEADERS, *CONNECTION, *WINDOWS, *CONTINUATIONS)
