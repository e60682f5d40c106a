"""A server that goes away: GOAWAY, calls under way finish, the rest is cut when the time is up."""

from __future__ import annotations

import asyncio

import grpc
import h2.errors
from scenes.grpcfast import RawClient

from sidecar.grpcfast import Call, Limits, Reply, Status, Streaming, Unary, reply
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Echo"
STREAM = "/t.T/Stream"


def echo(message: bytes) -> Reply:
    return reply(message)


async def read_all(call: Call) -> None:
    async for _ in call:
        pass


async def until_closed(client: RawClient) -> None:
    while not client.closed:
        await client.step()


async def test_an_idle_connection_is_told_and_closed(served):
    running = await served({ECHO: Unary(echo)})
    async with RawClient.connect(running.path) as client:
        assert (await client.call(ECHO, b"hello")).status == Status.OK
        running.server.drain()
        await until_closed(client)
        assert client.goaways == [h2.errors.ErrorCodes.NO_ERROR] * 2
        await running.server.wait_closed(5)
    assert running.server.counters.protocol_errors == 0


async def test_a_call_under_way_finishes(served):
    begun, ready = asyncio.Event(), asyncio.Event()

    async def wait(message: bytes) -> Reply:
        begun.set()
        await ready.wait()
        return reply(message)

    running = await served({ECHO: Unary(wait)})
    async with RawClient.connect(running.path) as client:
        stream = client.open(ECHO)
        client.send(stream, frame(b"hello"), ended=True)
        await client.flush()
        await begun.wait()
        running.server.drain()
        while not client.goaways:
            await client.step()
        assert running.server.connections == 1
        ready.set()
        answer = await client.answer(stream)
        assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)
        await until_closed(client)


async def test_a_call_that_the_client_began_before_it_read_of_it_is_served(served):
    running = await served({ECHO: Unary(echo)})
    async with RawClient.connect(running.path) as client:
        assert (await client.call(ECHO, b"before")).status == Status.OK
        running.server.drain()
        await asyncio.sleep(0)
        assert (await client.call(ECHO, b"after")).data == frame(b"after")
        await until_closed(client)


async def test_a_connection_that_waited_in_the_listeners_queue_is_served_and_told(served):
    running = await served({ECHO: Unary(echo)})
    running.server.drain()
    async with RawClient.connect(running.path) as client:
        stream = client.open(ECHO)  # before it has read anything of ours
        client.send(stream, frame(b"hello"), ended=True)
        answer = await client.answer(stream)
        assert (answer.data, answer.status) == (frame(b"hello"), Status.OK)
        await until_closed(client)
        assert client.goaways == [h2.errors.ErrorCodes.NO_ERROR] * 2


async def test_what_takes_too_long_is_cut_and_its_handlers_have_ended(served):
    async def never(_message: bytes) -> Reply:
        return await asyncio.Future()

    running = await served({ECHO: Unary(never), STREAM: Streaming(read_all)})
    async with RawClient.connect(running.path) as client, running.channel() as channel:
        client.send(client.open(ECHO), frame(b"hello"), ended=True)
        client.open(STREAM)
        await client.flush()
        stream = channel.stream_stream(STREAM)()
        await stream.write(b"hello")
        while running.server.tasks < 3:
            await asyncio.sleep(0.01)
        running.server.drain()
        await running.server.wait_closed(0.1)
        assert (running.server.connections, running.server.tasks) == (0, 0)
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert running.server.counters.cancelled == 3


async def test_a_handler_that_does_not_end_when_cancelled_is_left_behind(served):
    released, refused = asyncio.Event(), asyncio.Event()

    async def stubborn(_: bytes) -> Reply:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                refused.set()
        return reply(b"")

    running = await served({ECHO: Unary(stubborn)}, Limits(linger=0.05))
    async with RawClient.connect(running.path) as client:
        client.send(client.open(ECHO), frame(b"hello"), ended=True)
        await client.flush()
        while not running.server.tasks:
            await asyncio.sleep(0.01)
        running.server.drain()
        await running.server.wait_closed(0.05)
        assert refused.is_set()
        assert running.server.tasks == 1
    released.set()
    while running.server.tasks:
        await asyncio.sleep(0.01)


async def test_a_silent_connection_does_not_hold_the_server_up(served):
    running = await served({ECHO: Unary(echo)})
    reader, writer = await asyncio.open_unix_connection(running.path)
    assert await reader.read(9)  # our SETTINGS
    running.server.drain()
    await running.server.wait_closed(0.05)
    assert running.server.connections == 0
    writer.close()


async def test_a_connection_that_comes_when_the_time_is_up_is_cut(served):
    running = await served({ECHO: Unary(echo)})
    running.server.drain()
    await running.server.wait_closed(0.05)
    reader, writer = await asyncio.open_unix_connection(running.path)
    async with asyncio.timeout(5):
        assert await reader.read(-1) == b""
    writer.close()


async def test_no_call_of_grpcio_fails_while_one_server_follows_another(served, state_dir):
    """The new server's socket is renamed over the old one's; the client reconnects when it is told to."""
    first = await served({ECHO: Unary(lambda _: reply(b"first"))})
    answers: list[bytes] = []
    async with first.channel() as channel:
        method = channel.unary_unary(ECHO)

        async def call() -> None:
            while not answers or answers[-1] == b"first":
                answers.append(await method(b""))

        callers = [asyncio.create_task(call()) for _ in range(8)]
        while len(answers) < 200:
            await asyncio.sleep(0)
        first.path.rename(state_dir / "old")
        await served({ECHO: Unary(lambda _: reply(b"second"))})
        first.server.drain()
        await asyncio.gather(*callers)
        await first.server.wait_closed(5)
    assert answers[-1] == b"second"
