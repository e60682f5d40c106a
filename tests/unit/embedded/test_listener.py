"""A connection that is accepted in the very moment in which its listener ends."""

from __future__ import annotations

import asyncio
import gc
import socket

from embedded import listener
from embedded.ports import LOOPBACK


async def test_a_connection_that_comes_as_the_listener_ends_is_still_served() -> None:
    served: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: served.append(writer), LOOPBACK, 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        while not any("_accept_connection2" in repr(task) for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
        assert not served, "accepted, and no more than that"
        await listener.close(server)
        (writer,) = served
        writer.transport.abort()
    await asyncio.sleep(0)
    gc.collect()  # a socket that nobody closed would be an error here
