"""Calls of a client that chooses its frames: what grpcio never sends."""

from __future__ import annotations

import asyncio

import h2.settings
import pytest
from scenes.grpcfast import RawClient

from sidecar.grpcfast import Call, OneAnswer, Reply, Status, Streaming, Unary, reply
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


async def test_a_unary_call_is_answered_when_the_client_has_ended_and_not_before(client):
    stream = client.open(ECHO)
    client.send(stream, frame(b"hello"))
    assert (await client.call(ECHO, b"meanwhile")).data == frame(b"meanwhile")
    assert client.answers[stream].headers is None
    client.send(stream, frame(b"second"), ended=True)
    assert (await client.answer(stream)).status == Status.INTERNAL


@pytest.mark.parametrize("path", [ECHO, ONE, "/t.T/Other"])
async def test_after_an_answer_that_comes_early_the_client_is_asked_to_stop(client, path):
    """RFC 9113, 8.1: RST_STREAM with NO_ERROR. Else the stream would count as open until the client ends it."""
    stream = client.open(path)
    client.send(stream, frame(b"hello") if path == ONE else b"\7\0\0\0\0")
    answer = await client.answer(stream)
    assert answer.ended
    while answer.reset is None:
        await client.step()
    assert answer.reset == 0


async def test_a_client_is_asked_to_stop_only_when_the_answer_has_passed_its_window(served):
    running = await served({ONE: OneAnswer(echo), ECHO: Unary(echo)})
    async with RawClient.connect(running.path, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 4}) as client:
        stream = client.open(ONE)
        client.send(stream, frame(b"hello"))
        await client.flush()
        answer = client.answers[stream]
        while len(answer.data) < 4:
            await client.step()
        assert answer.reset is None
        client.send(stream, frame(b"more"))  # is dropped
        client.h2.increment_flow_control_window(100, stream)
        await client.answer(stream)
        assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)
        while answer.reset is None:
            await client.step()
        assert answer.reset == 0


@pytest.mark.parametrize("path", [ECHO, ONE])
async def test_a_small_message_over_a_small_limit_is_refused(served, path):
    running = await served({ECHO: Unary(echo, max_message=5), ONE: OneAnswer(echo, max_message=5)})
    async with RawClient.connect(running.path) as client:
        assert (await client.call(path, b"12345")).status == Status.OK
        assert (await client.call(path, b"123456")).status == Status.RESOURCE_EXHAUSTED


async def test_headers_that_end_the_request_are_an_internal_error(client):
    answer = await client.answer(client.open(ECHO, ended=True))
    assert (answer.status, answer.trailers) == (Status.INTERNAL, None)


async def test_a_stream_with_one_answer_is_answered_when_its_message_is_complete(client):
    stream = client.open(ONE)
    client.send(stream, frame(b"hello")[:7])
    await client.flush()
    client.send(stream, frame(b"hello")[7:] + frame(b"more"))
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


@pytest.mark.parametrize("path", [ONE, "/not-grpc"])
async def test_a_body_that_nobody_reads_may_be_longer_than_the_window(served, path):
    async def wait(_message: bytes) -> Reply:
        await everything.wait()
        return reply(b"done")

    everything = asyncio.Event()
    running = await served({ONE: OneAnswer(wait), ECHO: Unary(echo)})
    async with RawClient.connect(running.path) as client:
        stream = client.open(path, *[("content-type", "text/plain")] * (path != ONE))
        client.send(stream, frame(b"hello"))
        sent = 0
        while sent < 6_000_000:
            while client.h2.local_flow_control_window(stream) < 16_384:
                await client.flush()
                await client.step()
            client.send(stream, bytes(16_384))
            sent += 16_384
        everything.set()
        client.send(stream, b"", ended=True)
        answer = await client.answer(stream)
        assert answer.headers is not None
        assert answer.headers[":status"] == ("200" if path == ONE else "415")
        assert running.server.buffered == 0


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


@pytest.mark.parametrize("sent", [b"", frame(b"hello")[:-1], frame(b"hello")], ids=["headers", "a part", "a message"])
async def test_a_deadline_runs_from_the_headers_and_its_end_is_told(served, sent):
    """Not only kept by the client, who resets the stream."""

    async def wait(_message: bytes) -> Reply:
        return await asyncio.Future()

    running = await served({ECHO: Unary(wait)})
    async with RawClient.connect(running.path) as client:
        stream = client.open(ECHO, ("grpc-timeout", "50m"))
        client.send(stream, sent, ended=sent == frame(b"hello"))
        assert (await client.answer(stream)).status == Status.DEADLINE_EXCEEDED
    assert running.server.counters.errors == {Status.DEADLINE_EXCEEDED: 1}


async def test_a_stream_may_have_the_longest_deadline_that_there_is(served):
    async def count(call: Call) -> None:
        messages = [message async for message in call]
        await call.send(b"%d" % len(messages))

    running = await served({ECHO: Streaming(count)})
    async with RawClient.connect(running.path) as client:
        answer = await client.call(ECHO, b"hello", ("grpc-timeout", "99999999H"))
    assert (answer.data, answer.status) == (frame(b"1"), Status.OK)


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
