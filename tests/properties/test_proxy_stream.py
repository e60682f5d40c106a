"""Whatever is sent through the fault proxy, in whatever pieces and with whatever stalls, arrives whole and in order."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.proxy import Proxy


async def carry(pieces: list[tuple[bytes, bool]]) -> bytes:
    received = bytearray()
    ended = asyncio.Event()

    async def collect(reader, writer):
        received.extend(await reader.read(-1))
        ended.set()
        writer.close()

    async with (
        await asyncio.start_server(collect, "127.0.0.1", 0) as server,
        Proxy.start(server.sockets[0].getsockname()) as proxy,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for piece, stalled in pieces:
            if stalled:
                proxy.stall()
            else:
                proxy.restore()
            writer.write(piece)
            await asyncio.sleep(0)
        proxy.restore()
        writer.write_eof()
        await asyncio.wait_for(ended.wait(), 10)
        writer.close()
    return bytes(received)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.binary(max_size=300).map(lambda piece: piece * 50), st.booleans()), max_size=8))
def test_bytes_arrive_whole_and_in_order(pieces):
    assert asyncio.run(carry(pieces)) == b"".join(piece for piece, _ in pieces)
