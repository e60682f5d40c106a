"""An HTTP server that sends exactly the octets it is told to, so that they can be wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from embedded import listener

CUT = b"\0cut"  # the connection ends here
HANG = b"\0hang"  # nothing more until the client goes away


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A good one, with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@dataclass(slots=True)
class RawServer:
    """`answers`: what to send for one request after the other, each in pieces; the last one again and again.

    `requests`: (number of its connection, head, body) of each. `port` on 127.0.0.1.
    """

    answers: list[Sequence[bytes]]
    port: int = 0
    requests: list[tuple[int, str, bytes]] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    _writers: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def start(cls, *answers: Sequence[bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
        made = cls(list(answers))
        server = await asyncio.start_server(made._serve, "127.0.0.1", 0, ssl=tls)
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            await listener.close(server)
            serving = list(made._writers)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await server.wait_closed()

    def heads(self) -> list[str]:
        """The first line of each request."""
        return [head.partition("\r\n")[0] for _, head, _ in self.requests]

    def push(self, octets: bytes) -> None:
        """Send on each open connection what nobody has asked for."""
        for writer in self._writers.values():
            writer.write(octets)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line.partition(":")[2]) for line in head.split("\r\n") if "ontent-Length" in line), 0
                )
                self.requests.append((number, head, await reader.readexactly(length)))
                pieces = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                for piece in pieces:
                    if piece is CUT:
                        return
                    if piece is HANG:
                        await reader.read()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client, or the test, has ended; a cancelled task would be reported by the loop
        finally:
            self.open -= 1
            del self._writers[task]
            writer.transport.abort()
