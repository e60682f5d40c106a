"""Peers of the gRPC server that keep silent, do not read, connect and go, or speak something else."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.settings
import pytest
import uvloop
from scenes.grpcfast import GRPC, RawClient, Served, serve

from sidecar.grpcfast import LIMITS, Call, Reply, Server, Status, Streaming, Unary, reply
from sidecar.grpcfast.message import frame

ECHO = "/t.T/Echo"
LARGE = "/t.T/Large"
STREAM = "/t.T/Stream"
MEGABYTE = 1024 * 1024
POURED = bytes(100_000)
LARGE_REPLY = reply(bytes(60_000))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


def echo(message: bytes) -> Reply:
    return reply(message)


async def pour(call: Call) -> None:
    while True:
        await call.send(POURED)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def running(stack: AsyncExitStack, state_dir: Path, time_scale: float) -> Served:
    limits = replace(LIMITS, preface=0.3 * time_scale, linger=0.3 * time_scale)
    methods = {ECHO: Unary(echo), LARGE: Unary(lambda _: LARGE_REPLY), STREAM: Streaming(pour)}
    return await stack.enter_async_context(serve(methods, state_dir / "socket", limits))


@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_peer_that_does_not_finish_its_preface_is_cut(running: Served, eventually: Any, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(running.path)
    writer.write(sent)
    assert await reader.read(9)
    await eventually(lambda: running.server.connections == 0)
    assert running.server.counters.silent == 1
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", bytes(100_000)]
)
async def test_a_peer_that_speaks_something_else_gets_goaway_and_is_closed(
    running: Served, eventually: Any, sent: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(running.path)
    writer.write(sent)
    received = await reader.read(-1)
    assert b"\x07\0\0\0\0\0" in received  # GOAWAY on stream 0
    await eventually(lambda: running.server.counters.protocol_errors == 1)
    writer.close()
    await eventually(lambda: running.server.connections == 0)


async def test_a_violator_that_does_not_close_is_cut(running: Served, eventually: Any) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, str(running.path))
        await asyncio.get_running_loop().sock_sendall(peer, b"GET / HTTP/1.1\r\n\r\n")
        await eventually(lambda: running.server.counters.protocol_errors == 1)
        await eventually(lambda: running.server.connections == 0)


async def test_ten_thousand_connections_that_come_and_go_leave_nothing(running: Served, eventually: Any) -> None:
    counters = running.server.counters
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    sent = [b"", greeting, requests(1, LARGE), b"nonsense"] * 6 + [requests(1, STREAM)]

    async def round_of(count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count // 100):
            calls, errors = counters.calls + 28, counters.protocol_errors + 24
            with ExitStack() as peers:
                for number in range(100):
                    peer = peers.enter_context(socket.socket(socket.AF_UNIX))
                    peer.setblocking(False)
                    await loop.sock_connect(peer, str(running.path))
                    peer.send(sent[number % len(sent)])
                while (counters.calls, counters.protocol_errors) != (calls, errors):
                    await asyncio.sleep(0)
        await eventually(lambda: running.server.connections == 0, timeout=10)

    tasks = len(asyncio.all_tasks())
    await round_of(1_000)  # buffers, caches and the allocator's arenas
    before = resident()
    await round_of(9_000)
    assert counters.connections == 10_000
    assert resident() - before < 8 * MEGABYTE
    assert len(asyncio.all_tasks()) == tasks
    async with running.channel() as channel:
        assert await channel.unary_unary(ECHO)(b"hello") == b"hello"


async def test_a_connection_that_is_gone_is_freed_without_the_cycle_collector(
    stack: AsyncExitStack, state_dir: Path, eventually: Any
) -> None:
    """So that thousands of connections cost no pause of the loop."""
    server = Server({ECHO: Unary(echo)})
    made: list[weakref.ref[Any]] = []

    def protocol() -> asyncio.Protocol:
        connection = server.protocol()
        made.extend((weakref.ref(connection), weakref.ref(connection._calls)))
        return connection

    listener = await asyncio.get_running_loop().create_unix_server(protocol, state_dir / "socket")
    gc.disable()
    stack.callback(gc.enable)
    async with RawClient.connect(state_dir / "socket") as client:
        assert (await client.call(ECHO, b"hello")).status == Status.OK
        stream = client.open(ECHO, ("grpc-timeout", "1H"))
        await client.flush()
        client.send(stream, frame(b"hello"), ended=True)
        assert (await client.answer(stream)).status == Status.OK
    await eventually(lambda: [reference() for reference in made] == [None, None])
    listener.close()


def requests(count: int, path: str) -> bytes:
    """Bytes of a client that opens `count` streams and lets itself be sent a gigabyte."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.local_settings = h2.settings.Settings(
        client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    )
    client.initiate_connection()
    client.increment_flow_control_window(2**30)
    fields = [(":path", path), *GRPC]
    for stream in range(1, 2 * count, 2):
        client.send_headers(stream, sorted(fields, key=lambda field: not field[0].startswith(":")))
        client.send_data(stream, frame(b"hello"), end_stream=True)
    return client.data_to_send()


@pytest.mark.parametrize("path", [LARGE, STREAM], ids=["unary", "stream"])
async def test_a_peer_that_never_reads_costs_a_bounded_amount_of_memory(
    running: Served, eventually: Any, path: str
) -> None:
    loop = asyncio.get_running_loop()
    asked = requests(900, path)
    before = resident()
    peers = []
    try:
        for _ in range(5):
            peer = socket.socket(socket.AF_UNIX)
            peers.append(peer)
            peer.setblocking(False)
            await loop.sock_connect(peer, str(running.path))
            await loop.sock_sendall(peer, asked)  # 270 MB of the unary method
        await eventually(lambda: running.server.counters.calls >= 5)
        async with running.channel() as channel:
            for _ in range(100):
                assert await channel.unary_unary(ECHO)(b"hello") == b"hello"
        assert resident() - before < 100 * MEGABYTE
    finally:
        for peer in peers:
            peer.close()
    await eventually(lambda: (running.server.connections, running.server.tasks) == (0, 0), timeout=10)


async def test_a_slow_reader_gets_every_answer(running: Served) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(peer, str(running.path))
        await loop.sock_sendall(peer, requests(500, LARGE))
        received = 0
        while received < 500 * 60_000:
            received += len(await loop.sock_recv(peer, 20_000))
            await asyncio.sleep(0)
    assert running.server.counters.calls == 500


async def test_a_peer_that_opens_streams_and_never_finishes_them_is_refused_by_their_deadline(
    stack: AsyncExitStack, state_dir: Path, time_scale: float, eventually: Any
) -> None:
    limits = replace(LIMITS, answer=0.2 * time_scale)
    running = await stack.enter_async_context(serve({ECHO: Unary(echo)}, state_dir / "socket", limits))
    async with RawClient.connect(running.path) as client:
        headers_only = client.open(ECHO)
        half = client.open(ECHO, ("grpc-timeout", "100m"))
        client.send(half, frame(b"hello")[:-1])
        for stream in (headers_only, half):
            assert (await client.answer(stream)).status == Status.DEADLINE_EXCEEDED
        no_grpc = await client.answer(client.open(ECHO, ("content-type", "text/plain")))
        assert no_grpc.headers is not None
        assert no_grpc.headers[":status"] == "415"
        assert running.server.buffered == 0
        assert (await client.call(ECHO, b"hello")).status == Status.OK


async def test_messages_that_are_never_finished_are_bounded_for_all_connections_together(
    stack: AsyncExitStack, state_dir: Path
) -> None:
    limits = replace(LIMITS, buffered=MEGABYTE)
    running = await stack.enter_async_context(serve({ECHO: Unary(echo)}, state_dir / "socket", limits))
    statuses = []
    async with AsyncExitStack() as clients:
        for _ in range(3):
            client = await clients.enter_async_context(RawClient.connect(running.path))
            stream = client.open(ECHO)
            client.send(stream, b"\0\0\x3f\xff\xff")
            for _ in range(40):
                await client.call(ECHO, b"")  # reads on the way what window the server gives
                if not client.answers[stream].ended:
                    client.send(stream, bytes(10_000))
            assert (await client.call(ECHO, b"hello")).status == Status.OK
            statuses.append(client.answers[stream].status)
        assert running.server.buffered <= MEGABYTE
    assert statuses == [None, None, Status.RESOURCE_EXHAUSTED]


@pytest.fixture
async def on_tcp(stack: AsyncExitStack, time_scale: float) -> tuple[Server, tuple[str, int]]:
    limits = replace(LIMITS, preface=0.1 * time_scale, keepalive=0.1 * time_scale, keepalive_answer=0.5 * time_scale)
    server = Server({ECHO: Unary(echo)}, limits)
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    stack.callback(listener.close)
    stack.push_async_callback(server.wait_closed, 0.1)
    return server, listener.sockets[0].getsockname()


async def test_a_quiet_tcp_peer_is_asked_again_and_again_and_stays(on_tcp: tuple[Server, tuple[str, int]]) -> None:
    server, address = on_tcp
    async with RawClient.connect(address) as client:
        while client.pings < 3 and not client.closed:
            await client.step()
        assert (await client.call(ECHO, b"hello")).status == Status.OK
    assert server.counters.silent == 0


async def test_a_tcp_peer_that_does_not_answer_is_cut(on_tcp: tuple[Server, tuple[str, int]], eventually: Any) -> None:
    server, address = on_tcp
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    await eventually(lambda: (server.counters.connections, server.counters.silent) == (1, 1))
    await eventually(lambda: server.connections == 0)
    writer.close()
    assert reader is not None


async def test_a_violator_on_tcp_that_goes_on_writing_can_read_why_it_is_closed(
    on_tcp: tuple[Server, tuple[str, int]],
) -> None:
    """A socket closed with bytes unread sends RST, which would take the GOAWAY with it."""
    _, address = on_tcp
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(50):
        writer.write(bytes(100_000))
        await writer.drain()
    assert b"\x07\0\0\0\0\0" in await reader.read(-1)
    writer.close()
