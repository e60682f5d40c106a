"""A server that takes connections and never answers, as one whose machine is out of memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Silent:
    """`url`: of HTTP. `asked`: set once somebody has sent something."""

    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Silent]:
        silent = cls()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.read(65536):
                    silent.asked.set()
            finally:
                writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        silent.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield silent
        finally:
            server.close()
