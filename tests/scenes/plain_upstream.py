"""An upstream that says the same to everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from embedded.ports import LOOPBACK


@contextlib.asynccontextmanager
async def plain_upstream(text: str, *, healthy_after: float = 0.0) -> AsyncIterator[int]:
    """On connections that stay, and to /health after so many seconds. → its port"""
    body = f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET /health"):
                    await asyncio.sleep(healthy_after)
                writer.write(body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
