"""A relay between an Envoy and a sidecar's discovery socket that counts what passes: bytes, and gRPC messages.

It sees what is on the wire, so a figure of it owes nothing to what either side says of itself. It reads HTTP/2's frame
headers (RFC 9113, 4.1) and gRPC's length prefixes, and nothing else. It belongs on the load's core.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.http2 import DATA, HEADER_SIZE, PREFACE
from embedded import listener

READ = 1 << 18
PREFIX = 5  # of a gRPC message: compressed or not, and its length
PATIENCE = 60.0


@dataclass(slots=True)
class Counted:
    """Of one direction: bytes of HTTP/2, whole gRPC messages, and the largest of them in bytes."""

    octets: int = 0
    messages: int = 0
    largest: int = 0

    def __sub__(self, before: Counted) -> Counted:
        return Counted(self.octets - before.octets, self.messages - before.messages, self.largest)

    def copy(self) -> Counted:
        return Counted(self.octets, self.messages, self.largest)


class Messages:
    """Counts the messages of one direction of one connection, whatever the pieces are in which its bytes come."""

    def __init__(self, counted: Counted, *, preface: bool) -> None:
        self._counted = counted
        self._skip = len(PREFACE) if preface else 0
        self._in = bytearray()
        self._streams: dict[int, bytearray] = {}  # the beginning of a prefix, by stream
        self._left: dict[int, int] = {}  # bytes of a message that are still to come

    def feed(self, data: bytes) -> None:
        self._counted.octets += len(data)
        self._in += data
        received, position = self._in, self._skip
        while len(received) - position >= HEADER_SIZE:
            length = int.from_bytes(received[position : position + 3], "big")
            end = position + HEADER_SIZE + length
            if len(received) < end:
                break
            if received[position + 3] == DATA:
                stream = int.from_bytes(received[position + 5 : position + HEADER_SIZE], "big")
                self._payload(stream, bytes(received[position + HEADER_SIZE : end]))
            position = end
        if position > len(received):
            return  # still in the preface
        self._skip = 0
        del received[:position]

    def _payload(self, stream: int, data: bytes) -> None:
        prefix = self._streams.setdefault(stream, bytearray())
        while data:
            left = self._left.get(stream, 0)
            if left:
                taken = min(left, len(data))
                self._left[stream], data = left - taken, data[taken:]
                continue
            taken = PREFIX - len(prefix)
            prefix += data[:taken]
            data = data[taken:]
            if len(prefix) == PREFIX:
                length = int.from_bytes(prefix[1:], "big")
                prefix.clear()
                self._left[stream] = length
                self._counted.messages += 1
                self._counted.largest = max(self._counted.largest, length)


@dataclass(slots=True)
class Relay:
    """`up`: from Envoy to the sidecar. `connections`: so many were made so far.

    `on_connection` is called before the sidecar hears of one.
    """

    path: Path
    target: Path
    up: Counted = field(default_factory=Counted)
    down: Counted = field(default_factory=Counted)
    connections: int = 0
    on_connection: Callable[[], None] = lambda: None
    _moved: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _open: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, path: Path, target: Path) -> AsyncIterator[Relay]:
        """Listen on `path` until the block ends."""
        relay = cls(path, target)

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            relay._open.add(task)
            try:
                await relay._carry(reader, writer)
            except asyncio.CancelledError:
                pass  # `cut`: the end that it is meant to have, which asyncio's streams would print
            finally:
                relay._open.discard(task)

        server = await asyncio.start_unix_server(accepted, path, limit=READ)
        os.chmod(path, 0o666)
        try:
            yield relay
        finally:
            await listener.close(server)
            await relay.cut()

    async def cut(self) -> None:
        """Close every connection, on both sides; new ones are served."""
        open_now = list(self._open)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def quiet(self, seconds: float, patience: float = PATIENCE) -> None:
        """Until nothing has passed for that long. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while (left := self._moved + seconds - time.monotonic()) > 0:  # noqa: ASYNC110 -- silence sets no event
                await asyncio.sleep(left)

    async def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Until what has passed makes it true. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._saw()
        self.on_connection()
        try:
            theirs, their_writer = await asyncio.open_unix_connection(self.target, limit=READ)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._pass(reader, their_writer, Messages(self.up, preface=True))),
            asyncio.create_task(self._pass(theirs, writer, Messages(self.down, preface=False))),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, their_writer):  # before what may be cancelled too
                end.close()
            await asyncio.gather(*ways, *(end.wait_closed() for end in (writer, their_writer)), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: Messages) -> None:
        try:
            while data := await reader.read(READ):
                messages.feed(data)
                self._saw()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return

    def _saw(self) -> None:
        self._moved = time.monotonic()
        self._news.set()
