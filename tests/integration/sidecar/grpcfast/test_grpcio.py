"""Calls of grpcio's client."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from scenes.grpcfast import RawClient

from sidecar.grpcfast import Call, OneAnswer, Reply, RpcError, Status, Streaming, Unary, reply
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Echo"


def echo(message: bytes) -> Reply:
    return reply(message)


def method(channel: grpc.aio.Channel, path: str = ECHO) -> grpc.aio.UnaryUnaryMultiCallable:
    return channel.unary_unary(path)


async def failure(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 100_000, 4 * 1024 * 1024])
async def test_a_message_of_any_size_comes_back(served, size):
    running = await served({ECHO: Unary(echo)})
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with running.channel(("grpc.max_receive_message_length", -1)) as channel:
        assert await method(channel)(message) == message
        assert await method(channel)(message) == message


async def test_a_thousand_calls_at_once_each_get_their_own_answer(served):
    running = await served({ECHO: Unary(echo)})
    messages = [b"%d" % number * 50 for number in range(1000)]
    async with running.channel() as channel:
        assert await asyncio.gather(*map(method(channel), messages)) == messages
    assert running.server.counters.calls == 1000
    assert running.server.counters.errors == {}


async def test_metadata_of_the_client_is_no_hindrance(served):
    running = await served({ECHO: Unary(echo)})
    metadata = (("x-request-id", "ä".encode().hex()), ("trace-bin", b"\0\xff" * 20), ("long", "x" * 7000))
    async with running.channel() as channel:
        assert await method(channel)(b"hello", metadata=metadata) == b"hello"


async def test_an_unknown_method_is_unimplemented(served):
    running = await served({ECHO: Unary(echo)})
    async with running.channel() as channel:
        error = await failure(method(channel, "/t.T/Other")(b"hello"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert running.server.counters.errors == {Status.UNIMPLEMENTED: 1}


async def test_the_status_and_message_of_an_error_arrive(served):
    def refuse(_message: bytes) -> Reply:
        raise RpcError(Status.FAILED_PRECONDITION, "größer als 100 %\n")

    running = await served({ECHO: Unary(refuse)})
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello"))
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "größer als 100 %\n")


async def test_a_fault_is_internal_its_traceback_is_logged_and_its_text_is_not_sent(served, capsys):
    def fail(_message: bytes) -> Reply:
        raise LookupError("the key is 1234")

    async def fail_later(_message: bytes) -> Reply:
        raise LookupError("the key is 1234")

    running = await served({ECHO: Unary(fail), "/t.T/Later": Unary(fail_later)})
    async with running.channel() as channel:
        errors = [await failure(method(channel, path)(b"hello")) for path in (ECHO, "/t.T/Later")]
        assert await failure(method(channel)(b"hello"))  # the connection lives
    for error in errors:
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "1234" not in (error.details() or "")
    logged = capsys.readouterr().out
    assert logged.count("handler_failed") == 3
    assert logged.count("Traceback") == 3


@pytest.mark.parametrize("wrong", [None, b"bytes"])
async def test_a_handler_that_returns_something_else_fails_its_own_call_only(served, wrong, capsys):
    async def wrong_later(_message: bytes) -> Reply:
        return wrong

    methods = {
        ECHO: Unary(echo),
        "/t.T/Wrong": Unary(lambda _: wrong),
        "/t.T/Later": Unary(wrong_later),
        "/t.T/Stream": Streaming(lambda _: wrong),
    }
    running = await served(methods)
    async with running.channel() as channel:
        for path in ("/t.T/Wrong", "/t.T/Later"):
            assert (await failure(method(channel, path)(b"hello"))).code() is grpc.StatusCode.INTERNAL
        assert await channel.stream_stream("/t.T/Stream")().code() is grpc.StatusCode.INTERNAL
        assert await method(channel)(b"hello") == b"hello"
    assert running.server.counters.connections == 1
    assert capsys.readouterr().out.count("handler_failed") == 3


async def test_an_answer_that_must_be_waited_for_is_sent_when_it_is_there(served):
    ready = asyncio.Event()

    async def wait(message: bytes) -> Reply:
        await ready.wait()
        return reply(message)

    running = await served({ECHO: Unary(wait), "/t.T/Fast": Unary(echo)})
    async with running.channel() as channel:
        waiting = method(channel)(b"slow")
        assert await method(channel, "/t.T/Fast")(b"fast") == b"fast"
        ready.set()
        assert await waiting == b"slow"


async def test_a_deadline_that_passes_ends_the_call_and_its_task(served, eventually):
    cancelled = asyncio.Event()

    async def wait(_message: bytes) -> Reply:
        try:
            return await asyncio.Future()
        finally:
            cancelled.set()

    running = await served({ECHO: Unary(wait)})
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello", timeout=0.05))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(cancelled.is_set)
        await eventually(lambda: running.server.tasks == 0)


async def test_the_servers_own_limit_ends_a_call_without_a_deadline(served, quick_limits):
    async def wait(_message: bytes) -> Reply:
        return await asyncio.Future()

    running = await served({ECHO: Unary(wait)}, quick_limits(answer=0.05))
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello"))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert running.server.counters.errors == {Status.DEADLINE_EXCEEDED: 1}


async def test_an_answer_that_comes_too_late_is_dropped(served, quick_limits, eventually):
    late = asyncio.Event()

    async def stubborn(message: bytes) -> Reply:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            await late.wait()
        return reply(message)

    running = await served({ECHO: Unary(stubborn), "/t.T/Fast": Unary(echo)}, quick_limits(answer=0.05))
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello"))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        late.set()
        await eventually(lambda: running.server.tasks == 0)
        assert await method(channel, "/t.T/Fast")(b"fast") == b"fast"


async def test_a_client_that_gives_up_cancels_the_task(served, eventually):
    started = asyncio.Event()

    async def wait(_message: bytes) -> Reply:
        started.set()
        return await asyncio.Future()

    running = await served({ECHO: Unary(wait)})
    async with running.channel() as channel:
        call = method(channel)(b"hello")
        await started.wait()
        call.cancel()
        await eventually(lambda: running.server.tasks == 0)
    assert running.server.counters.cancelled == 1


async def test_a_client_that_goes_away_cancels_all_its_tasks(served, eventually):
    started = asyncio.Semaphore(0)

    async def wait(_message: bytes) -> Reply:
        started.release()
        return await asyncio.Future()

    running = await served({ECHO: Unary(wait)})
    async with RawClient.connect(running.path) as client:
        for _ in range(20):
            client.send(client.open(ECHO), frame(b"hello"), ended=True)
        await client.flush()
        for _ in range(20):
            await started.acquire()
    await eventually(lambda: (running.server.tasks, running.server.connections) == (0, 0))
    assert running.server.counters.cancelled == 20


async def test_a_handler_that_is_cancelled_from_within_ends_its_call(served):
    async def give_up(_message: bytes) -> Reply:
        raise asyncio.CancelledError

    running = await served({ECHO: Unary(give_up)})
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello"))
    assert error.code() is grpc.StatusCode.CANCELLED


async def test_a_compressed_message_is_refused_with_what_is_accepted(served):
    running = await served({ECHO: Unary(echo)})
    async with running.channel() as channel:
        error = await failure(method(channel)(b"hello" * 1000, compression=grpc.Compression.Gzip))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        metadata = dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])
        assert metadata.get("grpc-accept-encoding", "identity") == "identity"  # grpcio keeps it to itself
        assert await method(channel)(b"hello") == b"hello"


async def test_a_message_that_is_too_large_is_refused_and_the_connection_lives(served):
    running = await served({ECHO: Unary(echo, max_message=100_000)})
    async with running.channel() as channel:
        assert await method(channel)(bytes(100_000)) == bytes(100_000)
        error = await failure(method(channel)(bytes(100_001)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        error = await failure(method(channel)(bytes(20_000_000)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await method(channel)(b"hello") == b"hello"


async def test_a_stream_with_one_answer_is_answered_before_the_client_has_ended(served, eventually):
    running = await served({ECHO: OneAnswer(echo)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(b"first")
        assert await call.read() == b"first"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_with_one_answer_may_wait_for_it(served):
    async def wait(message: bytes) -> Reply:
        await asyncio.sleep(0)
        return reply(message * 2)

    running = await served({ECHO: OneAnswer(wait)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.write(b"first")
        assert await call.read() == b"firstfirst"
        assert await call.code() is grpc.StatusCode.OK


async def test_a_synchronous_client_with_threads_is_served(served):
    running = await served({ECHO: Unary(echo)})

    def calls() -> list[bytes]:
        with grpc.insecure_channel(f"unix:{running.path}") as channel:
            call = channel.unary_unary(ECHO)
            futures = [call.future(b"%d" % number) for number in range(100)]
            return [future.result() for future in futures]

    assert await asyncio.to_thread(calls) == [b"%d" % number for number in range(100)]


async def test_a_stream_without_messages_is_ok(served):
    async def serve(call: Call) -> None:
        async for _ in call:
            raise AssertionError

    running = await served({ECHO: Streaming(serve)})
    async with running.channel() as channel:
        call = channel.stream_stream(ECHO)()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
