"""A proxy in front of a real server that can stall, cut and restore its connections, for tests of bad days.

TCP or Unix sockets on either side; it knows nothing of what it carries. After asyncpg's `_testbase/fuzzer.py`.

- `stall`: bytes stop moving in both directions, connections stay open, new ones are accepted and stall too.
- `cut`: open connections are reset, and new ones are refused by a reset, until `restore`.
- `cut_once`: open connections are reset; new ones are served.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from embedded import listener
from embedded.ports import LOOPBACK

READ_SIZE = 65536
# SO_LINGER with a time of 0: close() sends RST, as a crash or a firewall would, not FIN.
RESET = struct.pack("ii", 1, 0)

Address = tuple[str, int] | Path
"""`(host, port)`, or the path of a Unix socket."""


@dataclass(slots=True)
class Proxy:
    """A running proxy. Its faults are set from the event loop that it runs on."""

    target: Address
    address: Address
    accepted: int = 0
    _cut: bool = False
    _flowing: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, target: Address, *, path: Path | None = None) -> AsyncIterator[Proxy]:
        """Listen on a free loopback port, or on the Unix socket `path`, until the block ends."""
        proxy = cls(target=target, address=path or (LOOPBACK, 0))
        proxy._flowing.set()
        if path is not None:
            server = await asyncio.start_unix_server(proxy._serve, path)
        else:
            server = await asyncio.start_server(proxy._serve, LOOPBACK, 0)
            proxy.address = server.sockets[0].getsockname()
        try:
            yield proxy
        finally:
            await listener.close(server)
            await proxy._end()
            if path is not None:
                _remove(path)

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        if isinstance(self.address, Path):
            raise TypeError("this proxy listens on a Unix socket")
        return self.address[1]

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def stall(self) -> None:
        """Stop the bytes. What was read already may still arrive."""
        self._flowing.clear()

    async def cut(self) -> None:
        """Reset every connection, old and new, until `restore`."""
        self._cut = True
        await self._end()

    async def cut_once(self) -> None:
        """Reset the connections that are open now."""
        await self._end()

    def restore(self) -> None:
        """Undo `stall` and `cut`: bytes flow, new connections are served."""
        self._cut = False
        self._flowing.set()

    async def _end(self) -> None:
        for task, client in list(self._connections.items()):
            _reset(client)
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._cut:
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        upstream: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            upstream_reader, upstream = await self._dial()
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, upstream))
                directions.create_task(self._pump(upstream_reader, writer))
        except* OSError:
            _reset(writer)  # what the server does to us, or being away, we do to the client
        finally:
            del self._connections[task]
            for end in (upstream, writer):
                if end is not None:
                    end.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry bytes until the source ends, then pass on that it ended (the other direction may go on)."""
        while data := await source.read(READ_SIZE):
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()
        await self._flowing.wait()
        with suppress(OSError):
            sink.write_eof()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
