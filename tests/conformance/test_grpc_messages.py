"""gRPC requests and what is answered, as PROTOCOL-HTTP2.md says it, on the wire: messages, frames and headers."""

from __future__ import annotations

import zlib

import pytest
from conformance import frames
from conformance.frames import END_STREAM, Type
from conformance.grpc import (
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNARY,
    UNIMPLEMENTED,
    Response,
    call,
    call_fields,
    message,
    ok,
    refused,
    response,
    responses,
    start,
)
from conformance.peer import Peer
from conformance.steps import WHOLE

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
