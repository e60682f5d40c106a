"""gRPC over HTTP/2 as PROTOCOL-HTTP2.md says it, on the wire."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from conformance import frames
from conformance.conftest import Connect
from conformance.frames import END_HEADERS, END_STREAM, Code, Type
from conformance.grpc import ONE, STREAM, UNARY, Response, call, call_fields, message, response, responses, start
from conformance.peer import Peer
from conformance.subject import Subject

OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND = 0, 1, 2, 4, 5
RESOURCE_EXHAUSTED, ABORTED, UNIMPLEMENTED, INTERNAL = 8, 10, 12, 13
WHOLE = END_STREAM | END_HEADERS


def ok(answer: Response, *payloads: bytes) -> None:
    assert answer.reset is None
    assert answer.status == OK
    assert dict(answer.headers)[":status"] == "200"
    assert dict(answer.headers)["content-type"].startswith("application/grpc")
    assert "grpc-status" not in dict(answer.headers)
    assert answer.messages == list(payloads)


def refused(answer: Response, *codes: int) -> None:
    """Trailers-only."""
    assert answer.status in codes, answer
    assert dict(answer.headers)[":status"] == "200"
    assert dict(answer.headers)["content-type"].startswith("application/grpc")
    assert answer.kinds == "H", "an error without messages is one HEADERS frame"
    assert answer.reset in (None, Code.NO_ERROR)


# --- messages and frames


async def test_a_unary_call_is_answered_by_headers_message_and_trailers(peer: Peer) -> None:
    peer.send(call(peer, 1, b"hello"))
    answer = await response(peer)
    ok(answer, b"hello")
    assert answer.kinds[0] + answer.kinds[-1] == "HH" and set(answer.kinds[1:-1]) == {"D"}
    assert [name for name, _ in answer.trailers if name.startswith(":")] == []


async def test_a_message_may_be_split_at_any_byte_over_data_frames(peer: Peer) -> None:
    whole = message(b"hello")
    streams = range(1, 2 * len(whole) + 1, 2)
    for stream, cut in zip(streams, range(len(whole)), strict=True):
        peer.send(start(peer, stream), frames.data(stream, whole[:cut]), frames.data(stream, whole[cut:], END_STREAM))
    for answer in (await responses(peer, *streams)).values():
        ok(answer, b"hello")


async def test_a_message_may_come_one_byte_a_frame_with_empty_frames_between(peer: Peer) -> None:
    peer.send(start(peer, 1))
    for byte in message(b"hello"):
        peer.send(frames.data(1, bytes((byte,))), frames.data(1))
    peer.send(frames.data(1, b"", END_STREAM))
    ok(await response(peer), b"hello")


async def test_padding_is_no_part_of_a_message(peer: Peer) -> None:
    whole = message(b"hello")
    peer.send(start(peer, 1), frames.data(1, whole[:7], padding=33), frames.data(1, whole[7:], END_STREAM, padding=0))
    ok(await response(peer), b"hello")


async def test_the_end_of_a_request_may_be_its_trailers(peer: Peer) -> None:
    peer.send(start(peer, 1), frames.data(1, message(b"hello")))
    peer.send(frames.headers(1, peer.encoder.encode([("x-checksum", "1")]), WHOLE))
    ok(await response(peer), b"hello")


async def test_an_empty_message_is_a_message(peer: Peer) -> None:
    peer.send(call(peer, 1, b""))
    ok(await response(peer), b"")


@pytest.mark.parametrize("size", [1, 16_379, 16_380, 65_530, 65_531, 300_000, 4 * 1024 * 1024])
async def test_messages_of_any_size_up_to_the_limit_come_back_whole(peer: Peer, size: int) -> None:
    whole = message(bytes(range(256)) * (size // 256) + bytes(size % 256))
    peer.send(start(peer, 1))
    room = peer.settings.get(frames.Setting.INITIAL_WINDOW_SIZE, 65535)
    sent = 0
    seen = 0
    while sent < len(whole):  # within the windows: a large one may need updates
        part = whole[sent : sent + min(16_384, room)]
        if not part:
            update = await peer.until(lambda frame: frame.type == Type.WINDOW_UPDATE and frame.stream == 1)
            room += int.from_bytes(update.payload, "big")
            continue
        sent += len(part)
        room -= len(part)
        peer.send(frames.data(1, part, END_STREAM if sent == len(whole) else 0))
    answer = Response()
    while not answer.trailers:
        frame = await peer.until(lambda frame: frame.stream == 1 and frame.type != Type.WINDOW_UPDATE)
        assert frame.type in (Type.DATA, Type.HEADERS), f"{frame}"
        if frame.type == Type.DATA:
            assert len(frame.payload) <= 16_384
            seen += len(frame.payload)
            answer.data += frame.payload
            peer.send(
                frames.window_update(0, len(frame.payload) or 1), frames.window_update(1, len(frame.payload) or 1)
            )
        elif answer.headers:
            answer.trailers = peer.fields(frame)
        else:
            answer.headers = peer.fields(frame)
    ok(answer, whole[5:])


@pytest.mark.parametrize(
    ("what", "body", "codes"),
    [
        ("nothing", b"", {INTERNAL, UNIMPLEMENTED}),
        ("a prefix cut off", b"\0\0\0", {INTERNAL}),
        ("a message cut off", message(b"hello")[:-1], {INTERNAL}),
        ("two messages", message(b"one") + message(b"two"), {INTERNAL, UNIMPLEMENTED}),
        ("a message and a byte more", message(b"one") + b"\0", {INTERNAL, UNIMPLEMENTED}),
        ("a compressed message that no header announces", message(b"hello", 1), {INTERNAL, UNIMPLEMENTED}),
        ("a flag that there is not", message(b"hello", 2), {INTERNAL, UNIMPLEMENTED}),
        ("a flag of 255", message(b"hello", 255), {INTERNAL, UNIMPLEMENTED}),
        ("a message that is said to be too large", message(b"hello", 0, 4 * 1024 * 1024 + 1), {RESOURCE_EXHAUSTED}),
        ("a message that is said to be of 4 GB", message(b"hello", 0, 2**32 - 1), {RESOURCE_EXHAUSTED}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", [False, True], ids=["in one frame", "byte by byte"])
async def test_a_unary_call_is_refused_whose_request_is(
    peer: Peer, what: str, body: bytes, codes: set[int], split: bool
) -> None:
    peer.send(start(peer, 1))
    if split:
        peer.send(*(frames.data(1, bytes((byte,))) for byte in body), frames.data(1, b"", END_STREAM))
    else:
        peer.send(frames.data(1, body, END_STREAM))
    refused(await response(peer), *codes)
    peer.send(call(peer, 3, b"after"))
    ok(await response(peer, 3), b"after")


async def test_a_request_without_any_data_is_refused(peer: Peer) -> None:
    peer.send(frames.headers(1, peer.encoder.encode(call_fields()), WHOLE))
    refused(await response(peer), INTERNAL, UNIMPLEMENTED)


async def test_a_compressed_message_is_refused_and_told_what_is_read(peer: Peer) -> None:
    packed = zlib.compress(b"hello")
    peer.send(start(peer, 1, UNARY, ("grpc-encoding", "deflate")), frames.data(1, message(packed, 1), END_STREAM))
    answer = await response(peer)
    refused(answer, UNIMPLEMENTED)
    assert "identity" in dict(answer.headers)["grpc-accept-encoding"]


async def test_an_uncompressed_message_is_read_whatever_encoding_is_named(peer: Peer) -> None:
    peer.send(call(peer, 1, b"hello", UNARY, ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip,identity")))
    ok(await response(peer), b"hello")


# --- headers


@pytest.mark.parametrize(
    "value", ["application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc;x=y"]
)
async def test_the_content_types_of_grpc_are_served(peer: Peer, value: str) -> None:
    peer.send(start(peer, 1, UNARY, content_type=value), frames.data(1, message(b"hello"), END_STREAM))
    ok(await response(peer), b"hello")


@pytest.mark.parametrize(
    "value", [None, "", "text/html", "application/json", "application/grpc-web", "application/grpcx"]
)
async def test_another_content_type_is_415(peer: Peer, value: str | None) -> None:
    """PROTOCOL-HTTP2, Requests: "otherwise servers should respond with HTTP status of 415"."""
    peer.send(start(peer, 1, UNARY, content_type=value), frames.data(1, message(b"hello"), END_STREAM))
    answer = await response(peer)
    assert dict(answer.headers)[":status"] == "415"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "post"])
async def test_another_method_than_post_is_405(peer: Peer, method: str) -> None:
    peer.send(frames.headers(1, peer.encoder.encode([(":method", method), *call_fields()[1:]]), WHOLE))
    answer = await response(peer)
    assert dict(answer.headers)[":status"] == "405"
    if method == "HEAD":
        assert answer.data == b"" and answer.kinds == "H"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/test.Echo",
        "/test.Echo/",
        "/test.Echo/Nothing",
        "//test.Echo/Unary",
        "/test.Echo/Unary/",
        "/TEST.Echo/Unary",
        "/test.Echo/Unary?x=1",
    ],
)
async def test_an_unknown_method_is_unimplemented(peer: Peer, path: str) -> None:
    peer.send(call(peer, 1, b"hello", path))
    refused(await response(peer), UNIMPLEMENTED)


async def test_metadata_of_any_kind_is_no_trouble(peer: Peer) -> None:
    more = [("x-bin", "AAEC/w=="), ("authorization", "Bearer x"), ("user-agent", "grpc-go/1.83"), ("x", ""), ("x", "2")]
    peer.send(call(peer, 1, b"hello", UNARY, *more))
    ok(await response(peer), b"hello")


# --- deadlines


@pytest.mark.parametrize("value", ["1S", "99999999H", "00000001H", "60000m", "1M", "99999999n", "5000000u"])
async def test_a_call_with_time_enough_is_answered(peer: Peer, value: str) -> None:
    peer.send(call(peer, 1, b"hello", UNARY, ("grpc-timeout", value)))
    ok(await response(peer), b"hello")


@pytest.mark.parametrize("path", [UNARY, ONE, STREAM])
async def test_the_longest_timeout_is_no_trouble_for_the_clock(peer: Peer, subject: Subject, path: str) -> None:
    peer.send(start(peer, 1, path, ("grpc-timeout", "99999999H")), frames.data(1, message(b"hello"), END_STREAM))
    ok(await response(peer), b"hello")


@pytest.mark.parametrize(
    "value", ["", "1", "S", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789S", "1 S", "1_0S", "\xb9S", "1SS"]
)
async def test_a_malformed_timeout_is_refused(peer: Peer, value: str) -> None:
    # A value with a space at its end is no valid field, and the codec says so (RFC 9113 8.2.1).
    peer.send(start(peer, 1, UNARY, ("grpc-timeout", value)), frames.data(1, message(b"hello"), END_STREAM))
    answer = await response(peer)
    if value.strip(" ") != value:
        assert answer.reset == Code.PROTOCOL_ERROR
    else:
        assert answer.status != OK


async def test_a_deadline_that_passes_ends_the_call_with_deadline_exceeded(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait", UNARY, ("grpc-timeout", "30m")))
    answer = await response(peer)
    refused(answer, DEADLINE_EXCEEDED)
    await eventually(lambda: subject.echo.waiting == 0 and subject.server.tasks == 0)
    subject.echo.gate.set()
    assert await peer.settle() == []


async def test_a_deadline_covers_the_time_until_the_message_is_there(peer: Peer) -> None:
    """A client that sends half a message and waits gets its answer, and we get rid of the half."""
    peer.send(start(peer, 1, UNARY, ("grpc-timeout", "50m")), frames.data(1, message(b"hello")[:4]))
    assert (await response(peer)).status == DEADLINE_EXCEEDED


async def test_a_stream_ends_at_its_deadline(peer: Peer, subject: Subject, eventually: Callable[..., Any]) -> None:
    peer.send(start(peer, 1, STREAM, ("grpc-timeout", "50m")), frames.data(1, message(b"one")))
    answer = await response(peer)
    assert answer.status == DEADLINE_EXCEEDED
    assert answer.messages == [b"one"]
    await eventually(lambda: subject.server.tasks == 0)


# --- errors


async def test_an_error_is_trailers_only_with_its_message_percent_encoded(peer: Peer) -> None:
    peer.send(call(peer, 1, b"fail"))
    answer = await response(peer)
    refused(answer, NOT_FOUND)
    assert unquote(answer.note) == "ünknown, 100 % \n sure"
    assert all(" " <= letter <= "~" for letter in answer.note)


async def test_an_exception_of_a_handler_is_internal_and_says_nothing(peer: Peer) -> None:
    for stream, path in ((1, UNARY), (3, ONE), (5, STREAM)):
        peer.send(call(peer, stream, b"boom", path))
        answer = await response(peer, stream)
        assert answer.status in (INTERNAL, UNKNOWN)
        assert "eyes" not in answer.note
    peer.send(call(peer, 7, b"after"))
    ok(await response(peer, 7), b"after")


async def test_a_stream_that_fails_after_a_message_has_trailers_with_its_status(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM), frames.data(1, message(b"one") + message(b"fail")))
    answer = await response(peer)
    assert answer.status == ABORTED
    assert answer.messages == [b"one"]
    assert answer.kinds == "HDH"


# --- cancellation


@pytest.mark.parametrize("path", [UNARY, ONE, STREAM])
async def test_a_reset_cancels_the_handler_and_nothing_more_is_said(
    peer: Peer, subject: Subject, eventually: Callable[..., Any], path: str
) -> None:
    payload = b"hold" if path == STREAM else b"wait"
    peer.send(start(peer, 1, path), frames.data(1, message(payload), 0 if path == ONE else END_STREAM))
    await eventually(lambda: subject.echo.waiting == 1)
    peer.send(frames.rst_stream(1))
    await eventually(lambda: subject.echo.cancelled == 1 and subject.server.tasks == 0)
    subject.echo.gate.set()
    assert await peer.settle() == []


async def test_a_lost_connection_cancels_its_handlers(
    connect: Connect, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer = await connect()
    peer.send(call(peer, 1, b"wait"), call(peer, 3, b"hold", STREAM))
    await eventually(lambda: subject.echo.waiting == 2)
    peer.close()
    await eventually(
        lambda: subject.echo.cancelled == 2 and subject.server.tasks == 0 and not subject.server.connections
    )


async def test_many_calls_are_reset_without_a_trace(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    for stream in range(1, 401, 2):
        peer.send(call(peer, stream, b"wait"), frames.rst_stream(stream))
    assert await peer.settle() == []
    await eventually(lambda: subject.server.tasks == 0 and subject.echo.waiting == 0)


# --- one answer, and streams


async def test_one_answer_comes_before_the_end_of_the_request(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")


async def test_what_comes_after_the_one_message_is_of_no_consequence(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")
    peer.send(frames.data(1, message(b"more") + b"half"), frames.data(1, b"", END_STREAM), call(peer, 3, b"next"))
    ok(await response(peer, 3), b"next")


async def test_envoy_resets_a_stream_that_was_answered(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")
    peer.send(frames.rst_stream(1, Code.INTERNAL_ERROR))
    assert [frame for frame in await peer.settle() if frame.type != Type.RST_STREAM] == []


async def test_messages_of_a_stream_are_answered_one_by_one(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM))
    for text in (b"one", b"", b"three"):
        peer.send(frames.data(1, message(text)))
    peer.send(frames.data(1, b"", END_STREAM))
    ok(await response(peer), b"one", b"", b"three")


async def test_several_messages_may_share_a_frame(peer: Peer) -> None:
    whole = message(b"one") + message(b"two") + message(b"three")
    peer.send(start(peer, 1, STREAM), frames.data(1, whole[:11]), frames.data(1, whole[11:], END_STREAM))
    ok(await response(peer), b"one", b"two", b"three")


async def test_a_stream_without_messages_ends_with_ok(peer: Peer) -> None:
    peer.send(frames.headers(1, peer.encoder.encode(call_fields(STREAM)), WHOLE))
    answer = await response(peer)
    assert answer.status == OK and answer.messages == []


async def test_a_stream_that_ends_inside_a_message_is_an_error(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM), frames.data(1, message(b"hello")[:-1], END_STREAM))
    assert (await response(peer)).status == INTERNAL


# --- drain


async def test_drain_says_goaway_and_finishes_what_is_under_way(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait"), start(peer, 3), frames.data(3, message(b"half")[:3]), start(peer, 5, STREAM))
    await eventually(lambda: subject.echo.waiting == 1)
    subject.server.drain()
    goaway = await peer.until(lambda frame: frame.type == Type.GOAWAY)
    assert goaway.code == Code.NO_ERROR
    assert goaway.last_stream == 2**31 - 1
    # Begun before the peer read the GOAWAY.
    peer.send(call(peer, 7, b"late comer"))
    ok(await response(peer, 7), b"late comer")
    peer.send(frames.data(3, message(b"half")[3:], END_STREAM))
    ok(await response(peer, 3), b"half")
    peer.send(frames.data(5, message(b"x"), END_STREAM))
    ok(await response(peer, 5), b"x")
    subject.echo.gate.set()
    ok(await response(peer, 1), b"late")
    rest = await peer.until_closed()
    last = [frame for frame in rest if frame.type == Type.GOAWAY]
    assert not last or (last[-1].code == Code.NO_ERROR and last[-1].last_stream == 7)


async def test_drain_closes_an_idle_connection(peer: Peer, subject: Subject) -> None:
    subject.server.drain()
    came = await peer.until_closed()
    assert [frame.code for frame in came if frame.type == Type.GOAWAY][-1] == Code.NO_ERROR


async def test_a_stream_reset_during_drain_lets_the_connection_end(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait"))
    await eventually(lambda: subject.echo.waiting == 1)
    subject.server.drain()
    await peer.until(lambda frame: frame.type == Type.GOAWAY)
    peer.send(frames.rst_stream(1))
    await peer.until_closed()
