"""A gRPC server on asyncio: the methods, and the connections that there are.

    server = Server({"/pkg.Service/Method": Unary(handle)})
    listener = await loop.create_unix_server(server.protocol, path)      # or create_server(…, ssl=context)
    …
    server.drain(); await server.wait_closed(2.0); listener.close()

A TLS context must offer `h2` by ALPN; a peer whose handshake hangs is asyncio's (`ssl_handshake_timeout`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from sidecar.grpcfast.limits import LIMITS, Limits
from sidecar.grpcfast.methods import Method
from sidecar.grpcfast.protocol import GrpcProtocol
from sidecar.grpcfast.service import Counters, Service


class Server:
    def __init__(self, methods: Mapping[str, Method], limits: Limits = LIMITS) -> None:
        """`methods` by path, `/package.Service/Method`."""
        self._service = Service(methods, limits)

    @property
    def counters(self) -> Counters:
        return self._service.counters

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._service.connections)

    @property
    def tasks(self) -> int:
        """Handlers under way that wait for something."""
        return len(self._service.tasks)

    @property
    def buffered(self) -> int:
        """Bytes of requests that no handler has taken."""
        return self._service.buffered.held

    def protocol(self) -> GrpcProtocol:
        """The factory for `create_server` and `create_unix_server`."""
        return GrpcProtocol(self._service)

    def drain(self) -> None:
        """GOAWAY to every peer, and to those that connect from now on, as they begin.

        Calls under way finish, and so do those that a peer began before it read it; then the connection is closed.
        """
        self._service.draining = True
        for connection in list(self._service.connections):
            connection.drain()

    async def wait_closed(self, seconds: float) -> None:
        """Until no connection is left, after `drain`. After `seconds` those that there are, and come later, are cut.

        A handler that does not end though it was cancelled is left behind.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._service.wait_empty()
        self._service.closing = True
        for connection in list(self._service.connections):
            connection.cut()
        await self._service.wait_empty()
        if self._service.tasks:
            await asyncio.wait(self._service.tasks, timeout=self._service.limits.linger)
