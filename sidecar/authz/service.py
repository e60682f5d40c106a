"""`envoy.service.auth.v3.Authorization/Check` on grpc.aio, bytes in and bytes out: only transport and loading.

A hit is answered in the call's own step. A miss waits for its load, at most LOAD_DEADLINE, and is then checked again;
what could not be loaded in time is answered 503 by us, so a client's page says so rather than Envoy's.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc

from sidecar.authz.check import Checker, Kind, Pending
from sidecar.directory.entry import Entry
from sidecar.directory.errors import Refused, Unavailable

SERVICE = "envoy.service.auth.v3.Authorization"

# Seconds. Below the 0.4 s that envoy/static.yaml gives each try, so that our answer comes first.
LOAD_DEADLINE = 0.35
# The host and the SNI; a third time only if a name was dropped from memory in between.
MAX_LOADS = 3


class NameSource(Protocol):
    async def load(self, host: str) -> Entry | None: ...


class TokenSource(Protocol):
    async def load(self, token: str) -> str | None: ...


class Authorization:
    def __init__(self, checker: Checker, names: NameSource, tokens: TokenSource) -> None:
        self._checker = checker
        self._names = names
        self._tokens = tokens

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For `server.add_generic_rpc_handlers`. Without (de)serializers the messages stay bytes."""
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": grpc.unary_unary_rpc_method_handler(self.check)})

    async def check(self, request: bytes, _context: object) -> bytes:
        reply = self._checker.check(request)
        return await self._load_and_check(request, reply) if isinstance(reply, Pending) else reply

    async def _load_and_check(self, request: bytes, pending: Pending) -> bytes:
        absent: set[Pending] = set()
        try:
            async with asyncio.timeout(LOAD_DEADLINE):
                for _ in range(MAX_LOADS):
                    if not await self._exists(pending):
                        absent.add(pending)
                    reply = self._checker.check(request, absent)
                    if not isinstance(reply, Pending):
                        return reply
                    pending = reply
        except (TimeoutError, Unavailable, Refused):
            pass
        return self._checker.unavailable()

    async def _exists(self, pending: Pending) -> bool:
        match pending.kind:
            case Kind.HOSTNAME:
                return await self._names.load(pending.key) is not None
            case Kind.TOKEN:
                return await self._tokens.load(pending.key) is not None
