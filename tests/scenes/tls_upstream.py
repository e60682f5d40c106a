"""An HTTPS upstream that says whose client certificate it was shown."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from scenes import tls_pair
from scenes.hierarchy import Issued

from embedded import listener
from embedded.ports import LOOPBACK


@dataclass(slots=True)
class TlsUpstream:
    """`shown`: the common names of client certificates, one a connection, None for none."""

    port: int = 0
    shown: list[str | None] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert")
        names = [
            value for part in (certificate or {"subject": ()})["subject"] for key, value in part if key == "commonName"
        ]
        name = names[0] if names else None
        self.shown.append(name)
        body = json.dumps({"upstream": "tls", "client": name}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(head + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()  # a TLS connection that is closed waits for the other end to say so too

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(listener.TURNS):
            await asyncio.sleep(0)


@asynccontextmanager
async def serve(certificate: Issued, clients: Issued | None = None) -> AsyncIterator[TlsUpstream]:
    """On loopback, until the block ends. `clients`: the authority whose certificate a client must show."""
    context = tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate.pem + certificate.key_pem)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    upstream = TlsUpstream()
    server = await asyncio.start_server(upstream.accept, LOOPBACK, 0, ssl=context)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        await listener.close(server)
        await upstream.close()
