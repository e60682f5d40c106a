"""What all connections of one server share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sidecar.grpcfast.limits import Limits
from sidecar.grpcfast.message import Buffered
from sidecar.grpcfast.methods import Method
from sidecar.grpcfast.request import RequestReader
from sidecar.grpcfast.status import Status


@dataclass(slots=True)
class Counters:
    """Since the start, for metrics."""

    connections: int = 0
    # Calls whose headers came, refused ones included.
    calls: int = 0
    # Calls that ended otherwise than OK, by status; what the peer reset is `cancelled` instead.
    errors: Counter[Status] = field(default_factory=Counter)
    # Calls under way that the peer reset, or whose connection was lost.
    cancelled: int = 0
    # Connections ended by us for a violation of HTTP/2.
    protocol_errors: int = 0
    # Connections ended by us because the peer kept silent: before the preface, or after a PING.
    silent: int = 0


class Connection(Protocol):
    def drain(self) -> None: ...
    def cut(self) -> None: ...


class Service:
    def __init__(self, methods: Mapping[str, Method], limits: Limits) -> None:
        self.limits = limits
        self.reader = RequestReader(methods)
        self.buffered = Buffered(limits.buffered)
        self.counters = Counters()
        self.connections: set[Connection] = set()
        # Every task of a handler that has not ended, wanted or cancelled.
        self.tasks: set[asyncio.Future[Any]] = set()
        self.draining = False
        self.closing = False
        self._empty = asyncio.Event()

    def joined(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.counters.connections += 1
        self._empty.clear()

    def left(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Until there is no connection."""
        if self.connections:
            await self._empty.wait()
