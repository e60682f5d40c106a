"""The fault proxy between a client and an echoing server, on real sockets."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from embedded.proxy import Proxy


@asynccontextmanager
async def echo_server():
    connections = set()

    async def echo(reader, writer):
        connections.add(writer)
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
            writer.write(b"end")
        except OSError:
            pass
        finally:
            connections.discard(writer)
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for writer in list(connections):
            writer.transport.abort()


async def dial(proxy):
    if isinstance(proxy.address, tuple):
        return await asyncio.open_connection(*proxy.address)
    return await asyncio.open_unix_connection(proxy.address)


async def exchange(streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


@pytest.mark.parametrize("unix", [False, True])
async def test_bytes_pass_both_ways_and_so_does_the_end_of_one_direction(state_dir, unix):
    path = state_dir / "proxy.sock" if unix else None
    async with echo_server() as target, Proxy.start(target, path=path) as proxy:
        streams = reader, writer = await dial(proxy)
        big = bytes(range(256)) * 4000
        assert await exchange(streams, big) == big
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"end"
        writer.close()
    assert path is None or not path.exists()


async def test_a_stalled_proxy_holds_bytes_back_and_loses_none(eventually):
    async with echo_server() as target, Proxy.start(target) as proxy:
        streams = reader, writer = await dial(proxy)
        assert await exchange(streams, b"one") == b"one"
        proxy.stall()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(late := asyncio.create_task(reader.readexactly(3))), 0.1)
        newcomer = await dial(proxy)
        await eventually(lambda: proxy.open_connections == 2)
        proxy.restore()
        assert await asyncio.wait_for(late, 5) == b"two"
        assert await exchange(newcomer, b"new") == b"new"
        for _, end in (streams, newcomer):
            end.close()


async def test_a_cut_resets_old_and_new_connections_until_it_is_restored():
    async with echo_server() as target, Proxy.start(target) as proxy:
        streams = reader, writer = await dial(proxy)
        assert await exchange(streams, b"one") == b"one"
        await proxy.cut()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        assert proxy.open_connections == 0
        refused, refused_writer = await dial(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(refused.read(), 5)
        proxy.restore()
        again = await dial(proxy)
        assert await exchange(again, b"two") == b"two"
        for end in (writer, refused_writer, again[1]):
            end.close()


async def test_cut_once_spares_the_connections_that_come_later():
    async with echo_server() as target, Proxy.start(target) as proxy:
        streams = await dial(proxy)
        await exchange(streams, b"one")
        await proxy.cut_once()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(), 5)
        again = await dial(proxy)
        assert await exchange(again, b"two") == b"two"
        streams[1].close()
        again[1].close()


async def test_a_server_that_is_away_looks_like_a_reset():
    async with echo_server() as target:
        pass
    async with Proxy.start(target) as proxy:
        reader, writer = await dial(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
