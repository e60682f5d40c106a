"""The server on trial: sidecar.grpcfast with three small methods, on a Unix socket.

| path | what it does |
| --- | --- |
| `/test.Echo/Unary` | answers the message; see `Echo` for messages that make it do otherwise |
| `/test.Echo/One` | the same as a OneAnswer |
| `/test.Echo/Stream` | answers each message as it comes; `hold` makes it wait for the gate before it reads on |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sidecar.grpcfast import Call, OneAnswer, Reply, RpcError, Server, Status, Streaming, Unary, reply


class Echo:
    """Messages with a meaning: `fail` and `half a letter` (RpcError), `boom` (an exception), `wait` (for `gate`), and
    `many N` (an answer of N bytes)."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls = 0
        self.waiting = 0
        self.cancelled = 0

    def answer(self, message: bytes) -> Reply | Awaitable[Reply]:
        self.calls += 1
        if message == b"fail":
            raise RpcError(Status.NOT_FOUND, "ünknown, 100 % \n sure")
        if message == b"half a letter":
            raise RpcError(Status.NOT_FOUND, "a surrogate \ud800 alone")
        if message == b"boom":
            raise ValueError("not for the peer's eyes")
        if message == b"wait":
            return self._late()
        if message.startswith(b"many "):
            return reply(b"x" * int(message[5:]))
        return reply(message)

    async def _late(self) -> Reply:
        self.waiting += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        return reply(b"late")

    async def stream(self, call: Call) -> None:
        self.calls += 1
        async for message in call:
            if message == b"hold":
                await self._late()
            elif message == b"fail":
                raise RpcError(Status.ABORTED, "in mid-stream")
            elif message == b"boom":
                raise ValueError("not for the peer's eyes")
            else:
                await call.send(message)


class Subject:
    """`faults`: what asyncio's loop was told of, that is to say exceptions that nobody caught."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.echo = Echo()
        self.server = Server(
            {
                "/test.Echo/Unary": Unary(self.echo.answer),
                "/test.Echo/One": OneAnswer(self.echo.answer),
                "/test.Echo/Stream": Streaming(self.echo.stream),
            }
        )
        self.faults: list[dict[str, Any]] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Subject]:
        """Serve. At the end nothing of it is left: no connection, no task, no exception that nobody caught."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.faults.append(context))
        listener = await loop.create_unix_server(self.server.protocol, str(self.path))
        try:
            yield self
        finally:
            listener.close()
            self.server.drain()
            await self.server.wait_closed(0)
            loop.set_exception_handler(None)
        assert self.server.connections == 0
        assert self.server.tasks == 0
        assert self.server.buffered == 0
        assert not self.faults, f"{len(self.faults)} exceptions, the first: {self.faults[0]}"
