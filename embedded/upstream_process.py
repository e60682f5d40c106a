"""The upstream of `embedded.upstream` as a child process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.process import Process

PROBE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class UpstreamProcess:
    """A running upstream."""

    name: str
    port: int
    process: Process

    @classmethod
    @asynccontextmanager
    async def start(cls, state_dir: Path, name: str) -> AsyncIterator[UpstreamProcess]:
        """Serve on a free port of loopback, with the log in `state_dir/<name>.log`, until the block ends."""
        port = free_port()

        async def answers() -> bool:
            try:
                async with plain_http(timeout=PROBE_TIMEOUT) as client:
                    answer = await client.get(f"http://{LOOPBACK}:{port}/")
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and answer.json()["upstream"] == name

        process = await Process.start(
            name,
            [sys.executable, "-m", "embedded.upstream", "--name", name, "--port", str(port)],
            log_path=state_dir / f"{name}.log",
            ready=answers,
        )
        try:
            yield cls(name, port, process)
        finally:
            await process.stop()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"
