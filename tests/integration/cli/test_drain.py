"""`nameplate drain` on a real Envoy: visitors are moved to another one, and no request is lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scenes.answering import answering

from embedded.envoy import Envoy
from embedded.ports import LOOPBACK, free_ports

Eventually = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class Visitors:
    """Their balancer sends new connections to `port`."""

    port: int
    lost: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    async def visit(self) -> None:
        """For ever, on one connection until it is told to close."""
        while True:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
            try:
                while await self._is_told_to_stay(reader, writer):
                    await asyncio.sleep(0.01)
            except (OSError, asyncio.IncompleteReadError):
                self.lost += 1
            finally:
                writer.transport.abort()

    async def _is_told_to_stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        name = (await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))).decode()
        self.answered[name] = self.answered.get(name, 0) + 1
        return "connection: close" not in head


async def drain(*options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "drain", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    return process.returncode, said


async def test_visitors_leave_before_envoy_ends_and_lose_no_request(state_dir: Path, eventually: Eventually) -> None:
    ports = free_ports(2)
    async with AsyncExitStack() as servers:
        first, _ = [
            await servers.enter_async_context(Envoy.start(state_dir, answering(port, name), name=name, drain_time=2))
            for port, name in zip(ports, ("first", "second"), strict=True)
        ]
        visitors = Visitors(ports[0])
        running = [asyncio.create_task(visitors.visit()) for _ in range(8)]
        await eventually(lambda: visitors.answered.get("first", 0) >= 80)
        visitors.port = ports[1]  # the balancer knows
        code, said = await drain("--admin", f"unix:{first.home}/admin.sock", "--least", "0.5", "--seconds", "30")
        assert (code, said.partition(",")[0]) == (0, "connections left: 0")
        await first.stop()
        await eventually(lambda: visitors.answered.get("second", 0) >= 80)
        for visitor in running:
            visitor.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert visitors.lost == 0


async def test_connections_that_stay_are_counted_when_the_time_is_over(state_dir: Path) -> None:
    (port,) = free_ports(1)
    configuration = answering(port, "idle")
    async with Envoy.start(state_dir, configuration, name="idle", drain_time=60) as envoy:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
        code, said = await drain("--admin", f"unix:{envoy.home}/admin.sock", "--least", "0", "--seconds", "0.5")
        writer.transport.abort()
    assert (code, said.partition(",")[0]) == (0, "connections left: 1")


@pytest.mark.parametrize("admin", ["unix:/nobody/here.sock", "127.0.0.1:1", "127.0.0.1:not-a-port"])
async def test_an_envoy_that_does_not_answer_is_named(admin: str) -> None:
    code, said = await drain("--admin", admin)
    assert code == 1
    assert said.startswith(f"nameplate: Envoy's administration at {admin}: ")
    assert "Traceback" not in said
