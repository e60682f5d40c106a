"""Clients that keep their connection open, for what happens to a connection after it was let in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.events
import yaml

from embedded.ports import LOOPBACK

DEADLINE = 10.0
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def seen(self, *names: str) -> list[tuple[str, str]]:
        """What the upstream received under these names, in its order."""
        assert self.status == 200, (self.status, self.body)
        return [(name, value) for name, value in json.loads(self.body)["headers"] if name in names]


def context_for(trust: str, *protocols: str) -> ssl.SSLContext:
    """Verifies the chain, not the name: the SNI may be any."""
    context = ssl.create_default_context(cadata=trust)
    context.check_hostname = False
    context.set_alpn_protocols(protocols)
    return context


class Http1:
    """One HTTP/1.1 connection, requests one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, sni: str, trust: str) -> AsyncIterator[Http1]:
        context = context_for(trust, "http/1.1")
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=sni)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def get(self, host: str, headers: Headers = (), *, method: str = "GET", path: str = "/") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(DEADLINE):
            top, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
            received = dict(line.lower().split(": ", 1) for line in rest)
            length = 0 if method == "HEAD" else int(received.get("content-length", "0"))
            return Answer(int(top.split()[1]), received, await self.reader.readexactly(length))


class Http2:
    """One HTTP/2 connection, requests one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, sni: str, trust: str) -> AsyncIterator[Http2]:
        context = context_for(trust, "h2")
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=sni)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def get(self, host: str, headers: Headers = (), *, trailers: Headers = ()) -> Answer:
        """With trailers it is a POST with a body."""
        connection, stream = self._connection, self._connection.get_next_available_stream_id()
        method = "POST" if trailers else "GET"
        pseudo = [(":method", method), (":path", "/"), (":scheme", "https"), (":authority", host)]
        connection.send_headers(stream, [*pseudo, *headers], end_stream=not trailers)
        if trailers:
            connection.send_data(stream, b"body")
            connection.send_headers(stream, trailers, end_stream=True)
        self._writer.write(connection.data_to_send())
        received: dict[str, str] = {}
        body = b""
        async with asyncio.timeout(DEADLINE):
            while data := await self._reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        received = dict(event.headers)
                    elif isinstance(event, h2.events.DataReceived):
                        body += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    elif isinstance(event, h2.events.StreamEnded):
                        self._writer.write(connection.data_to_send())
                        return Answer(int(received[":status"]), received, body)
                self._writer.write(connection.data_to_send())
        raise ConnectionError("the connection ended before the response")


class Http2Upstream(asyncio.Protocol):
    """Speaks HTTP/2 without TLS, answers 200, and keeps the headers and trailers that it received in `seen`."""

    def __init__(self, seen: list[tuple[str, str]]) -> None:
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._seen = seen

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._connection.initiate_connection()
        transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived | h2.events.TrailersReceived):
                self._seen.extend((type(event).__name__, f"{name}: {value}") for name, value in event.headers)
            if isinstance(event, h2.events.StreamEnded):
                self._connection.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
        self._transport.write(self._connection.data_to_send())


def with_http2_upstream(port: int) -> Callable[[str], str]:
    """A change of an Envoy configuration: its platform is on that port, and speaks HTTP/2 without TLS."""

    def change(text: str) -> str:
        configuration = yaml.safe_load(text)
        clusters = {cluster["name"]: cluster for cluster in configuration["static_resources"]["clusters"]}
        options = "typed_extension_protocol_options"
        clusters["platform"][options] = clusters["authz"][options]
        (endpoint,) = clusters["platform"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
        return yaml.dump(configuration)

    return change
