"""A question answered from memory, or after what it lacks was loaded: the handler of `Authorization/Check`.

A hit is answered in the caller's own step. A miss waits for its load, at most LOAD_DEADLINE, and is then asked again;
what could not be loaded in time is answered 503 by us, so a client's page says so rather than Envoy's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Set
from typing import Generic, Protocol, TypeVar

from sidecar.authz.policy import Kind, Pending
from sidecar.directory.entry import Entry
from sidecar.directory.errors import Refused, Unavailable

SERVICE = "envoy.service.auth.v3.Authorization"

# Seconds. Below the 0.4 s that envoy/static.yaml gives each try, so that our answer comes first.
LOAD_DEADLINE = 0.35
# The host and the SNI; a third time only if a name was dropped from memory in between.
MAX_LOADS = 3

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Checks(Protocol[T_co]):
    """Checker, or another protocol's (sidecar.extproc)."""

    def check(self, request: bytes, absent: Set[Pending] = ...) -> T_co | Pending: ...

    def unavailable(self) -> T_co: ...


class NameSource(Protocol):
    async def load(self, host: str) -> Entry | None: ...


class TokenSource(Protocol):
    async def load(self, token: str) -> str | None: ...


class Authorization(Generic[T]):
    def __init__(self, checker: Checks[T], names: NameSource, tokens: TokenSource) -> None:
        self._checker = checker
        self._check = checker.check
        self._names = names
        self._tokens = tokens

    def check(self, request: bytes) -> T | Coroutine[None, None, T]:
        answer = self._check(request)
        return self._load_and_check(request, answer) if isinstance(answer, Pending) else answer

    async def _load_and_check(self, request: bytes, pending: Pending) -> T:
        absent: set[Pending] = set()
        try:
            async with asyncio.timeout(LOAD_DEADLINE):
                for _ in range(MAX_LOADS):
                    if not await self._exists(pending):
                        absent.add(pending)
                    answer = self._check(request, absent)
                    if not isinstance(answer, Pending):
                        return answer
                    pending = answer
        except (TimeoutError, Unavailable, Refused):
            pass
        return self._checker.unavailable()

    async def _exists(self, pending: Pending) -> bool:
        match pending.kind:
            case Kind.HOSTNAME:
                return await self._names.load(pending.key) is not None
            case Kind.TOKEN:
                return await self._tokens.load(pending.key) is not None
