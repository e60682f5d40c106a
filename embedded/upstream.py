"""An HTTP/1.1 upstream that answers every request with a JSON account of what it received.

    {"upstream": "a", "method": "GET", "path": "/x?y=1", "headers": [["host", "shop.example"], ...], "body_size": 0}

`headers` has every header in the order it came, repeated ones repeated, names in lower case.
As a process: `python -m embedded.upstream --name a --port 8081`, until SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

from embedded import listener
from embedded.ports import LOOPBACK
from embedded.signals import ending

READ_SIZE = 65536


@dataclass(slots=True)
class Upstream:
    """A running upstream, and how many requests it has answered."""

    name: str
    port: int = 0
    requests: int = 0
    _connections: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, name: str, port: int = 0) -> AsyncIterator[Upstream]:
        """Serve on loopback, on a free port unless one is given, until the block ends."""
        upstream = cls(name)
        server = await asyncio.start_server(upstream._accept, LOOPBACK, port)
        upstream.port = server.sockets[0].getsockname()[1]
        try:
            yield upstream
        finally:
            await listener.close(server)
            for task in set(upstream._connections):
                task.cancel()
            await asyncio.gather(*upstream._connections, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: Python 3.11 logs a traceback for each task of its own that is cancelled.
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(connection, reader, writer):
                connection.start_next_cycle()
        except (ConnectionError, h11.RemoteProtocolError):
            pass  # the client went away, or speaks no HTTP
        finally:
            writer.close()

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request. Returns whether the connection can carry another."""
        request: h11.Request | None = None
        size = 0
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(connection.send(go_on) or b"")
                connection.receive_data(await reader.read(READ_SIZE))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                break
            else:  # ConnectionClosed
                return False
        self.requests += 1
        protocol = next((value for name, value in request.headers if name == b"upgrade"), None)
        if protocol is not None:
            await self._switch(connection, request, protocol, reader, writer)
            return False
        body = self._account(request, size)
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        writer.write(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
        if request.method != b"HEAD":
            writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _switch(
        self,
        connection: h11.Connection,
        request: h11.Request,
        protocol: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Take an upgrade (RFC 9110, 7.8): the account on one line, then every byte back as it comes."""
        headers = [(b"upgrade", protocol), (b"connection", b"upgrade")]
        writer.write(connection.send(h11.InformationalResponse(status_code=101, headers=headers)) or b"")
        writer.write(self._account(request, 0) + b"\n")
        writer.write(connection.trailing_data[0])
        while received := await reader.read(READ_SIZE):
            writer.write(received)
            await writer.drain()

    def _account(self, request: h11.Request, size: int) -> bytes:
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers]
        account = {
            "upstream": self.name,
            "method": request.method.decode(),
            "path": request.target.decode("latin-1"),
            "headers": headers,
            "body_size": size,
        }
        return json.dumps(account).encode()


async def serve(name: str, port: int) -> None:
    """Until SIGTERM."""
    end = ending()
    async with Upstream.start(name, port):
        await end.wait()


def main() -> None:
    parser = argparse.ArgumentParser("python -m embedded.upstream", description="Tells each client what it sent.")
    parser.add_argument("--name", required=True, help="what it calls itself in its answers")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.name, arguments.port))


if __name__ == "__main__":
    main()
