"""A visitor's browser in miniature: one HTTPS or HTTP request to a loopback port, the chain fully verified."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h11

from embedded.ports import LOOPBACK

DEADLINE = 10.0  # seconds for the whole visit
READ = 65536


class HandshakeRefused(ConnectionError):
    """The server ended the TLS handshake. The text is the TLS library's reason."""


@dataclass(frozen=True, slots=True)
class Page:
    """`names`: the DNS names of the certificate that was shown; empty without TLS."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    names: tuple[str, ...] = ()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Browser:
    """`trust`: the PEM roots that certificates must lead to."""

    trust: str

    async def get(
        self,
        host: str,
        port: int,
        path: str = "/",
        *,
        sni: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        method: str = "GET",
        host_header: str | None = None,
    ) -> Page:
        """HTTPS. `sni`: other than the host; the certificate is verified for it. Raises HandshakeRefused, OSError,
        TimeoutError, and ssl.SSLCertVerificationError when the certificate is not good for the name."""
        context = ssl.create_default_context(cadata=self.trust)
        async with asyncio.timeout(DEADLINE):
            try:
                reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=sni or host)
            except ssl.SSLCertVerificationError:
                raise
            except (ssl.SSLError, ConnectionResetError) as error:
                raise HandshakeRefused(str(error)) from error
            shown = writer.get_extra_info("ssl_object").getpeercert()
            names = tuple(name for kind, name in shown["subjectAltName"] if kind == "DNS")
            return await _visit(reader, writer, method, path, host_header or host, headers, names)

    async def get_plain(
        self, host: str, port: int, path: str = "/", *, headers: Sequence[tuple[str, str]] = (), method: str = "GET"
    ) -> Page:
        """HTTP. Raises OSError, TimeoutError."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            return await _visit(reader, writer, method, path, host, headers, ())


async def _visit(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    path: str,
    host: str,
    headers: Sequence[tuple[str, str]],
    names: tuple[str, ...],
) -> Page:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=path, headers=[("host", host), ("connection", "close"), *headers])
    try:
        writer.write(connection.send(request) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        body = b""
        response: h11.Response | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(READ))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                pairs = tuple((key.decode(), value.decode("latin-1")) for key, value in response.headers)
                return Page(response.status_code, pairs, body, names)
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection ended before the response")
    except h11.RemoteProtocolError as error:
        raise ConnectionError(str(error)) from error
    finally:
        writer.transport.abort()
