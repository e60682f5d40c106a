"""A small HTTP/1.1 client: kept connections, TLS, redirects, and one more try of a GET whose connection was cut.

Small because a read of Vault takes time of the loop that answers checks: 0.13 to 0.3 ms; by httpx it is 1.4 to 2.3.
How many requests are under way at once, and how long one may take, is the caller's (sidecar.certs.vault).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.certs.connection import Answer, BadAnswer, Connection, ConnectionCut, NotConnected
from sidecar.certs.origin import Origin

# Seconds. Below what Vault (5 min) and proxies on the way (60 s and more) wait, so that a connection that is taken up
# again is hardly ever one that was forgotten without a word.
IDLE: Final = 30.0
# For one of several addresses of a name, so that the next one has its turn within the caller's deadline.
CONNECT_EACH: Final = 0.5
REDIRECTS: Final = 3  # a proxy to its TLS, a standby node to the active one
REDIRECTED: Final = frozenset({301, 302, 307, 308})
GET: Final = "GET"


class HttpClient:
    """`base`: an http or https URL that the paths are added to. Raises ValueError if it is none, OSError for `ca_file`.

    `ca_file`: PEM roots for https; None: the system's.
    """

    def __init__(self, base: str, *, ca_file: Path | None = None) -> None:
        self._origin = Origin.of(base)
        self._prefix = base.partition("://")[2].partition("/")[2].strip("/")
        self._ca_file = ca_file
        self._tls = _trust(ca_file) if self._origin.tls else None
        self._idle: dict[Origin, deque[Connection]] = {}  # the latest used on the right

    async def close(self) -> None:
        """With no request under way."""
        idle = [connection for kept in self._idle.values() for connection in kept]
        self._idle.clear()
        for connection in idle:
            connection.abort()
        await asyncio.gather(*(connection.lost for connection in idle))

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """`path`: below the base, ASCII, percent-encoded, with its query; headers: ASCII, without CR and LF.

        Redirects keep method, headers and body (Vault's standby nodes want that). Raises HttpError.
        """
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if body or method != GET:
            fields += f"Content-Length: {len(body)}\r\n"
        origin, target = self._origin, f"/{self._prefix}/{path}" if self._prefix else f"/{path}"
        for _ in range(REDIRECTS + 1):
            head = f"{method} {target} HTTP/1.1\r\nHost: {origin.authority}\r\n{fields}\r\n"
            answer = await self._ask(origin, method, head.encode("ascii") + body)
            if answer.status not in REDIRECTED or answer.location is None:
                return answer
            try:
                origin, target = origin.redirected(target, answer.location.decode("ascii"))
            except ValueError:
                raise BadAnswer from None
        raise BadAnswer

    async def _ask(self, origin: Origin, method: str, request: bytes) -> Answer:
        """A kept connection may have been cut while it was idle. Only a GET may be sent twice (RFC 9110, 9.2.2).

        So anything else gets a new connection.
        """
        if method != GET:
            return await self._exchange(origin, await self._connect(origin), request)
        try:
            return await self._exchange(origin, self._take(origin) or await self._connect(origin), request)
        except ConnectionCut:
            return await self._exchange(origin, await self._connect(origin), request)

    async def _exchange(self, origin: Origin, connection: Connection, request: bytes) -> Answer:
        try:
            answer = await connection.exchange(request)
        except asyncio.CancelledError:
            # Most likely the deadline. Where one connection hangs the others may, and each would cost another one.
            for idle in self._idle.pop(origin, ()):
                idle.abort()
            raise
        if connection.usable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(origin, deque()).append(connection)
        return answer

    def _take(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        if kept is None:
            return None
        oldest = asyncio.get_running_loop().time() - IDLE
        while kept and kept[0].idle_since < oldest:
            kept.popleft().abort()
        while kept:
            connection = kept.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, origin: Origin) -> Connection:
        """Raises NotConnected."""
        loop = asyncio.get_running_loop()
        if origin.tls and self._tls is None:
            self._tls = _trust(self._ca_file)
        try:
            found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NotConnected from None
        for number, (family, _, proto, _, address) in enumerate(found, 1):
            try:
                async with asyncio.timeout(CONNECT_EACH if number < len(found) else None):
                    _, connection = await loop.create_connection(
                        Connection,
                        str(address[0]),
                        origin.port,
                        family=family,
                        proto=proto,
                        ssl=self._tls if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
                return connection
            except OSError:  # TimeoutError and ssl.SSLError too
                continue
        raise NotConnected


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
