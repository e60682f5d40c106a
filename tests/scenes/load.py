"""Visitors who do not stop: requests on connections that stay, and a new connection for each request.

Each request is counted once, as its answer or as what went wrong, in the phase in which it was begun.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from embedded.ports import LOOPBACK

Eventually = Callable[..., Awaitable[Any]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

DEADLINE = 20.0  # seconds for a request; Envoy gives up long before
# Between two requests of a visitor: enough of them to be under way at any moment, and time for who is tested.
PAUSE = 0.005

# The answer, or:
HANDSHAKE = "handshake failed"
CUT = "connection cut"


class Load:
    """`outcomes[phase]`: how the requests ended that were begun in it."""

    def __init__(self, port: int, trust: str, eventually: Eventually) -> None:
        self.outcomes: dict[str, Counter[str]] = {"before": Counter()}
        self._port = port
        self._context = ssl.create_default_context(cadata=trust)
        self._eventually = eventually
        self._under_way: Counter[str] = Counter()
        self._phase = "before"
        self._over = False

    def end(self) -> None:
        """No visitor begins another request. None is cancelled: asyncio would leave a connection behind that is cut off
        as it is opened (Python 3.11: SSLProtocol closes nothing before its handshake has begun)."""
        self._over = True

    async def begin(self, phase: str) -> None:
        """Requests are counted under this name from now on. Those of the phase before have ended when this returns."""
        before = self._phase
        self._phase = phase
        self.outcomes[phase] = Counter()
        await self._eventually(lambda: not self._under_way[before], timeout=60)

    def failures(self, *phases: str) -> dict[str, int]:
        """All that was not 200, in these phases or in all."""
        total = sum((self.outcomes[phase] for phase in phases or self.outcomes), Counter[str]())
        return {outcome: number for outcome, number in total.items() if outcome != "200"}

    async def served(self, requests: int) -> None:
        """Until so many more of this phase have been answered with 200."""
        outcomes = self.outcomes[self._phase]
        target = outcomes["200"] + requests
        await self._eventually(lambda: outcomes["200"] >= target, timeout=60)

    async def visit(self, host: str, *, stay: bool) -> None:
        """Until the end, on one connection while it lasts, or on a new one for each request."""
        connection: Connection | None = None
        try:
            while not self._over:
                phase = self._phase
                self._under_way[phase] += 1
                try:
                    async with asyncio.timeout(DEADLINE):
                        if connection is None:
                            connection = await asyncio.open_connection(
                                LOOPBACK, self._port, ssl=self._context, server_hostname=host
                            )
                        outcome = await _get(*connection, host)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    outcome = HANDSHAKE if connection is None else CUT
                finally:
                    self._under_way[phase] -= 1
                self.outcomes[phase][outcome] += 1
                if connection is not None and (outcome == CUT or not stay):
                    connection[1].transport.abort()
                    connection = None
                await asyncio.sleep(PAUSE)
        finally:
            if connection is not None:
                connection[1].transport.abort()


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    await reader.readexactly(int(top.partition("content-length: ")[2].split()[0]))
    return top.split()[1]


@asynccontextmanager
async def load(
    port: int, trust: str, hosts: Sequence[str], eventually: Eventually, *, staying: int = 8, coming: int = 2
) -> AsyncIterator[Load]:
    """So many visitors of each kind, until the block ends. All have been served when it begins."""
    running = Load(port, trust, eventually)
    visitors = [
        asyncio.create_task(running.visit(hosts[number % len(hosts)], stay=number < staying))
        for number in range(staying + coming)
    ]
    try:
        await running.served(10 * len(visitors))
        yield running
    finally:
        running.end()
        await asyncio.gather(*visitors)
