"""Our gRPC server in this process on a Unix socket, and a client that says what HTTP/2 frames it sends (h2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings

from sidecar.grpcfast import LIMITS, Limits, Method, Server
from sidecar.grpcfast.message import frame

GOAWAY = 7
PATIENCE = 10.0

GRPC = (
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


@dataclass(slots=True)
class Served:
    server: Server
    listener: asyncio.Server
    path: Path

    def channel(self, *options: tuple[str, object]) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.path}", options=options)


@contextlib.asynccontextmanager
async def serve(methods: Mapping[str, Method], path: Path, limits: Limits = LIMITS) -> AsyncIterator[Served]:
    """Whatever was done to it, nothing is left in the end: no connection, no task, no byte that counts as held."""
    server = Server(methods, limits)
    listener = await asyncio.get_running_loop().create_unix_server(server.protocol, path)
    try:
        yield Served(server, listener, path)
    finally:
        server.drain()
        await server.wait_closed(0.2)
        listener.close()
        await listener.wait_closed()
    assert (server.connections, server.tasks, server.buffered) == (0, 0, 0)


@dataclass(slots=True)
class Answer:
    """What came on one stream."""

    headers: dict[str, str] | None = None
    data: bytes = b""
    trailers: dict[str, str] | None = None
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        fields = {**(self.headers or {}), **(self.trailers or {})}
        return int(fields["grpc-status"]) if "grpc-status" in fields else None


class RawClient:
    """It reads only in `step`, and in what waits for an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.goaways: list[int] = []
        self.pings = 0
        self.credit = True  # give back the windows of what comes
        self.closed = False
        self._rest = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, address: Path | tuple[str, int], settings: Mapping[int, int] | None = None
    ) -> AsyncIterator[RawClient]:
        opening = (
            asyncio.open_connection(*address) if isinstance(address, tuple) else asyncio.open_unix_connection(address)
        )
        client = cls(*await opening)
        try:
            if settings:
                client.h2.local_settings = h2.settings.Settings(client=True, initial_values=dict(settings))
            client.h2.initiate_connection()
            await client.flush()
            yield client
        finally:
            client._writer.close()
            with contextlib.suppress(ConnectionError):
                await client._writer.wait_closed()

    async def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())
        await self._writer.drain()

    def open(self, path: str, *fields: tuple[str, str], ended: bool = False) -> int:
        """A request's headers; in `fields`, names that are there already are replaced."""
        stream_id = self.h2.get_next_available_stream_id()
        headers = {":path": path, **dict(GRPC), **dict(fields)}
        ordered = sorted(headers.items(), key=lambda field: not field[0].startswith(":"))
        self.h2.send_headers(stream_id, ordered, end_stream=ended)
        self.answers[stream_id] = Answer()
        return stream_id

    def send(self, stream_id: int, data: bytes, ended: bool = False) -> None:
        self.h2.send_data(stream_id, data, end_stream=ended)

    async def call(self, path: str, message: bytes, *fields: tuple[str, str]) -> Answer:
        """A whole unary call."""
        stream_id = self.open(path, *fields)
        self.send(stream_id, frame(message), ended=True)
        return await self.answer(stream_id)

    async def answer(self, stream_id: int) -> Answer:
        """What there is when the stream has ended, by END_STREAM or reset."""
        answer = self.answers[stream_id]
        await self.flush()
        while not answer.ended and answer.reset is None and not self.closed:
            await self.step()
        return answer

    async def step(self) -> None:
        """One read."""
        async with asyncio.timeout(PATIENCE):
            data = await self._reader.read(65_536)
        if not data:
            self.closed = True
            return
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3], "big")):
            whole, self._rest = self._rest[:size], self._rest[size:]
            if whole[3] == GOAWAY:
                # To h2 the first GOAWAY is the end, even one that lets the streams under way finish.
                self.goaways.append(int.from_bytes(whole[13:17], "big"))
                continue
            for event in self.h2.receive_data(whole):
                self._take(event)
        with contextlib.suppress(ConnectionError):
            await self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=stream_id, headers=headers):
                self.answers[stream_id].headers = dict(headers)
            case h2.events.DataReceived(stream_id=stream_id, data=data, flow_controlled_length=length):
                self.answers[stream_id].data += data
                if self.credit and length:
                    self.h2.acknowledge_received_data(length, stream_id)
            case h2.events.TrailersReceived(stream_id=stream_id, headers=headers):
                self.answers[stream_id].trailers = dict(headers)
            case h2.events.StreamEnded(stream_id=stream_id):
                self.answers[stream_id].ended = True
            case h2.events.StreamReset(stream_id=stream_id, error_code=code):
                self.answers[stream_id].reset = int(code)
            case h2.events.PingReceived():
                self.pings += 1
