"""The end of a listener of asyncio's, without a socket that nobody closes."""

from __future__ import annotations

import asyncio

# From a connection that was accepted to the first line of the task that serves it.
TURNS = 6


async def close(server: asyncio.Server) -> None:
    """Take no more connections, and let those that were accepted in this moment come to whoever serves them.

    Before that they are a socket in a task that has not begun, and a server that is closed meanwhile (CPython 3.11:
    `Server._attach` asserts that it is not) leaves them to the garbage collector.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
