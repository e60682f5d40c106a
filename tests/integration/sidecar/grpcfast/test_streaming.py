"""Streams in both directions, with grpcio's client and with one that says which windows it gives."""

from __future__ import annotations

import asyncio

import grpc
import h2.settings
import pytest
from scenes.grpcfast import RawClient

from sidecar.grpcfast import Call, RpcError, Status, Streaming
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Stream"
MEGABYTE = 1024 * 1024


async def echo(call: Call) -> None:
    async for message in call:
        await call.send(message)


async def test_messages_go_both_ways_until_the_client_ends(served):
    running = await served({ECHO: Streaming(echo)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        for number in range(100):
            await call.write(b"%d" % number)
            assert await call.read() == b"%d" % number
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_many_messages_may_be_under_way_at_once(served):
    running = await served({ECHO: Streaming(echo)})
    messages = [b"%d" % number * 100 for number in range(2000)]

    async def requests():
        for message in messages:
            yield message

    async with running.channel() as channel:
        assert [message async for message in channel.stream_stream(ECHO)(requests())] == messages


async def test_a_handler_waits_for_a_message_for_others_for_a_time_and_for_the_end(served):
    calls: list[Call] = []
    pause: float | None = None

    async def answer(call: Call) -> None:
        calls.append(call)
        while not call.ended:
            await call.send(call.take() or b"nothing")
            await call.wait(None if pause is None else asyncio.get_running_loop().time() + pause)

    running = await served({ECHO: Streaming(answer)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        assert await call.read() == b"nothing"
        await call.write(b"a message")
        assert await call.read() == b"a message"
        pause = 0.01
        calls[0].wake()
        for _ in range(3):
            assert await call.read() == b"nothing"
        pause = None
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
        assert await call.code() is grpc.StatusCode.OK


async def test_a_handler_does_not_wait_when_the_end_came_with_the_last_message(served):
    async def answer(call: Call) -> None:
        await call.send(b"ready")
        while not call.ended:
            while (message := call.take()) is not None:
                await call.send(message)
            await call.wait()

    running = await served({ECHO: Streaming(answer)})
    async with RawClient.connect(running.path) as client:
        stream = client.open(ECHO)
        await client.flush()
        while not client.answers[stream].data:
            await client.step()
        client.send(stream, frame(b"the last"), ended=True)
        answer_of_it = await client.answer(stream)
    assert (answer_of_it.data, answer_of_it.status) == (frame(b"ready") + frame(b"the last"), Status.OK)


async def test_several_messages_sent_at_once_come_in_their_order(served):
    async def twice(call: Call) -> None:
        async for message in call:
            await call.send(message, message + b"!")

    running = await served({ECHO: Streaming(twice)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        for message in (b"one", b"two"):
            await call.write(message)
            assert [await call.read(), await call.read()] == [message, message + b"!"]
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_message_of_64_megabytes_goes_both_ways(served):
    running = await served({ECHO: Streaming(echo, max_message=64 * MEGABYTE)})
    message = bytes(range(256)) * (64 * MEGABYTE // 256)
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with running.channel(*unlimited) as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(message)
        received = await call.read()
        assert len(received) == len(message)
        assert received == message
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_message_over_the_methods_limit_ends_the_stream(served):
    running = await served({ECHO: Streaming(echo, max_message=1000)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(bytes(1000))
        assert await call.read() == bytes(1000)
        await call.write(bytes(1001))
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("answers", [0, 1])
async def test_a_handler_may_end_the_call_with_a_status_before_or_after_its_first_answer(served, answers):
    async def refuse(call: Call) -> None:
        async for message in call:
            for _ in range(answers):
                await call.send(message)
            raise RpcError(Status.INVALID_ARGUMENT, "not a discovery request")

    running = await served({ECHO: Streaming(refuse)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(b"rubbish")
        for _ in range(answers):
            assert await call.read() == b"rubbish"
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "not a discovery request"


async def test_a_fault_after_the_first_answer_is_internal(served, capsys):
    async def fail(call: Call) -> None:
        await call.send(b"first")
        raise LookupError("1234")

    running = await served({ECHO: Streaming(fail)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        assert await call.read() == b"first"
        assert await call.code() is grpc.StatusCode.INTERNAL
        assert "1234" not in await call.details()
    assert "Traceback" in capsys.readouterr().out


async def test_a_deadline_ends_a_stream_and_its_handler(served, eventually):
    running = await served({ECHO: Streaming(echo)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)(timeout=0.1)
        await call.write(b"first")
        assert await call.read() == b"first"
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: running.server.tasks == 0)


async def test_a_client_that_resets_the_stream_cancels_the_handler_and_breaks_off_its_other_tasks(served, eventually):
    ends: list[object] = []

    async def serve(call: Call) -> None:
        async def read() -> None:
            async for message in call:
                await call.send(message)

        reader = asyncio.create_task(read())
        try:
            await asyncio.shield(reader)
        finally:
            ends.append("handler")
            ends.extend(await asyncio.gather(reader, return_exceptions=True))

    running = await served({ECHO: Streaming(serve)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(b"first")
        assert await call.read() == b"first"
        call.cancel()
        await eventually(lambda: running.server.tasks == 0)
    assert ends[0] == "handler"
    assert isinstance(ends[1], RpcError)
    assert ends[1].status is Status.CANCELLED


async def test_a_request_that_ends_inside_a_message_is_an_internal_error(served):
    running = await served({ECHO: Streaming(echo)})
    async with RawClient.connect(running.path) as client:
        stream = client.open(ECHO)
        client.send(stream, frame(b"whole") + b"\0\0\0\0\x09part", ended=True)
        answer = await client.answer(stream)
    assert (answer.data, answer.status) == (frame(b"whole"), Status.INTERNAL)


async def test_a_client_that_sends_faster_than_the_handler_reads_is_held_back(served, eventually):
    go_on = asyncio.Event()
    taken = 0

    async def slow(call: Call) -> None:
        nonlocal taken
        async for message in call:
            taken += len(message)
            await go_on.wait()

    running = await served({ECHO: Streaming(slow)})
    message = bytes(64 * 1024)
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(512):  # 32 MB
                await call.write(message)
                written += len(message)
            await call.done_writing()

        writer = asyncio.create_task(write())
        await eventually(lambda: taken > 0)
        stalled = -1
        while stalled != written:  # until it moves no more
            stalled = written
            await asyncio.sleep(0.1)
        assert written < 16 * MEGABYTE
        assert running.server.buffered <= 4 * MEGABYTE + len(message)
        assert not writer.done()
        go_on.set()
        await writer
        assert await call.code() is grpc.StatusCode.OK
    assert taken == 512 * len(message)


async def test_send_waits_while_the_clients_window_is_full(served, eventually):
    sent = 0

    async def pour(call: Call) -> None:
        nonlocal sent
        for _ in range(100):
            await call.send(bytes(10_000))
            sent += 1

    running = await served({ECHO: Streaming(pour)})
    async with RawClient.connect(running.path) as client:
        client.credit = False
        stream = client.open(ECHO, ended=True)
        await client.flush()
        while len(client.answers[stream].data) < 65_535:
            await client.step()
        assert sent == 6
        assert client.answers[stream].data[:10_005] == frame(bytes(10_000))
        client.credit = True
        client.h2.increment_flow_control_window(1_000_000, stream)
        client.h2.increment_flow_control_window(1_000_000)
        answer = await client.answer(stream)
    assert (answer.status, len(answer.data)) == (Status.OK, 100 * 10_005)


async def test_a_window_of_zero_keeps_the_message_and_its_trailers_back(served):
    async def one(call: Call) -> None:
        await call.send(b"hello")

    running = await served({ECHO: Streaming(one)})
    settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
    async with RawClient.connect(running.path, settings) as client:
        stream = client.open(ECHO, ended=True)
        await client.flush()
        while client.answers[stream].headers is None:
            await client.step()
        assert client.answers[stream].data == b""
        for size in (3, 7):
            client.h2.increment_flow_control_window(size, stream)
        answer = await client.answer(stream)
    assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)


async def test_a_handler_that_returns_ends_the_call_though_the_client_has_not(served):
    async def one(call: Call) -> None:
        await call.send(b"hello")

    running = await served({ECHO: Streaming(one)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        assert await call.read() == b"hello"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
