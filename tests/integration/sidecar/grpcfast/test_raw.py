"""Calls of a client that chooses its frames: what grpcio never sends."""

from __future__ import annotations

import asyncio

import pytest
from scenes.grpcfast import RawClient

from sidecar.grpcfast import OneAnswer, Reply, Status, Unary, reply
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Echo"
ONE = "/t.T/One"


def echo(message: bytes) -> Reply:
    return reply(message)


@pytest.fixture
async def client(served):
    running = await served({ECHO: Unary(echo), ONE: OneAnswer(echo)})
    async with RawClient.connect(running.path) as connected:
        yield connected


async def test_a_message_may_come_a_byte_at_a_time(client):
    stream = client.open(ECHO)
    for byte in frame(b"hello"):
        client.send(stream, bytes([byte]))
        await client.flush()
    client.send(stream, b"", ended=True)
    answer = await client.answer(stream)
    assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)


async def test_a_request_may_end_with_trailers(client):
    stream = client.open(ECHO)
    client.send(stream, frame(b"hello"))
    client.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    answer = await client.answer(stream)
    assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0", frame(b"hello")[:-1], frame(b"hello") * 2],
    ids=["nothing", "part of a prefix", "part of a message", "two messages"],
)
async def test_a_request_that_is_not_one_message_is_an_internal_error(client, body):
    stream = client.open(ECHO)
    client.send(stream, body, ended=True)
    answer = await client.answer(stream)
    assert (answer.status, answer.data, answer.ended) == (Status.INTERNAL, b"", True)


async def test_headers_that_end_the_request_are_an_internal_error(client):
    answer = await client.answer(client.open(ECHO, ended=True))
    assert (answer.status, answer.trailers) == (Status.INTERNAL, None)


async def test_a_stream_with_one_answer_is_answered_when_its_message_is_complete(client):
    stream = client.open(ONE)
    client.send(stream, frame(b"hello")[:7])
    await client.flush()
    client.send(stream, frame(b"hello")[7:])
    answer = await client.answer(stream)
    assert (answer.data, answer.status, answer.ended) == (frame(b"hello"), Status.OK, True)


async def test_what_envoy_sends_after_one_answer_does_no_harm(client):
    for ending in ("reset", "data", "end"):
        stream = client.open(ONE)
        client.send(stream, frame(b"hello"))
        if ending == "data":
            client.send(stream, frame(b"more") * 100)
        await client.answer(stream)
        if client.answers[stream].reset is None and ending == "reset":
            client.h2.reset_stream(stream, 2)
        await client.flush()
    assert (await client.call(ECHO, b"still")).data == frame(b"still")


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_a_method_other_than_post_is_405(client, method):
    answer = await client.answer(client.open("/", (":method", method), ended=True))
    assert answer.headers is not None
    assert (answer.headers[":status"], answer.headers["allow"]) == ("405", "POST")
    assert answer.data.startswith(b"gRPC")


async def test_head_is_405_without_a_body(client):
    answer = await client.answer(client.open("/", (":method", "HEAD"), ended=True))
    assert answer.headers is not None
    assert (answer.headers[":status"], answer.data) == ("405", b"")


async def test_another_content_type_is_415_when_the_request_has_ended(client):
    stream = client.open(ECHO, ("content-type", "application/json"))
    client.send(stream, b"{" * 10_000)
    assert (await client.call(ECHO, b"meanwhile")).data == frame(b"meanwhile")
    assert client.answers[stream].headers is None
    client.send(stream, b"}", ended=True)
    answer = await client.answer(stream)
    assert answer.headers is not None
    assert answer.headers[":status"] == "415"


async def test_an_unknown_method_is_refused_before_the_request_has_ended(client):
    answer = await client.answer(client.open("/t.T/Other"))
    assert answer.headers is not None
    assert (answer.headers[":status"], answer.status, answer.data) == ("200", Status.UNIMPLEMENTED, b"")


@pytest.mark.parametrize(
    ("timeout", "status"),
    [("0S", Status.DEADLINE_EXCEEDED), ("soon", Status.INTERNAL), ("1H", Status.OK), ("99999999n", Status.OK)],
)
async def test_the_deadline_is_read(client, timeout, status):
    assert (await client.call(ECHO, b"hello", ("grpc-timeout", timeout))).status == status


async def test_a_message_that_says_it_is_compressed_without_an_encoding_is_an_internal_error(client):
    stream = client.open(ECHO)
    client.send(stream, b"\1" + frame(b"hello")[1:], ended=True)
    assert (await client.answer(stream)).status == Status.INTERNAL


async def test_a_compressed_message_is_unimplemented_and_names_what_is_not(client):
    stream = client.open(ECHO, ("grpc-encoding", "gzip"))
    client.send(stream, b"\1" + frame(b"hello")[1:], ended=True)
    answer = await client.answer(stream)
    assert answer.headers is not None
    assert (answer.status, answer.headers["grpc-accept-encoding"]) == (Status.UNIMPLEMENTED, "identity")


async def test_a_reset_within_the_same_read_as_the_call_leaves_no_task(served, eventually):
    begun = 0

    async def wait(_message: bytes) -> Reply:
        nonlocal begun
        begun += 1
        return await asyncio.Future()

    running = await served({ECHO: Unary(wait), "/t.T/Fast": Unary(echo)})
    async with RawClient.connect(running.path) as client:
        for _ in range(10):
            stream = client.open(ECHO)
            client.send(stream, frame(b"hello"), ended=True)
            client.h2.reset_stream(stream, 8)
        assert (await client.call("/t.T/Fast", b"hello")).data == frame(b"hello")
        await eventually(lambda: running.server.tasks == 0)
    assert begun == 0
    assert running.server.counters.cancelled == 10
