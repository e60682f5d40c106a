"""pebble-challtestsrv: Pebble's own answering side for challenges, with a management interface over HTTP.

For tests that want an HTTP-01 responder or a mock DNS that is not ours; otherwise `embedded.dns` does the DNS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from embedded import debian
from embedded.ports import LOOPBACK, free_ports, free_udp_and_tcp_port
from embedded.process import Process, ServerFailed

HTTP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class ChallTestSrv:
    """A running pebble-challtestsrv. Its DNS answers every A query with 127.0.0.1 unless told otherwise."""

    http_port: int
    dns_port: int
    management_port: int
    process: Process

    @classmethod
    @asynccontextmanager
    async def start(cls, state_dir: Path, *, http_port: int | None = None) -> AsyncIterator[ChallTestSrv]:
        """Run it in `state_dir/challtestsrv` until the block ends. Raises `ServerFailed` or `PackageMissing`."""
        home = state_dir / "challtestsrv"
        home.mkdir(mode=0o700)
        program = debian.require("pebble", "pebble-challtestsrv")
        spare_port, management_port = free_ports(2)
        dns_port = free_udp_and_tcp_port()
        http_port = http_port or spare_port

        async def answers() -> bool:
            try:
                async with httpx.AsyncClient(trust_env=False, verify=False, timeout=HTTP_TIMEOUT) as client:
                    await client.get(f"http://{LOOPBACK}:{management_port}/")
            except httpx.TransportError:
                return False
            return True

        process = await Process.start(
            "pebble-challtestsrv",
            [
                program,
                *("-http01", f"{LOOPBACK}:{http_port}"),
                *("-dns01", f"{LOOPBACK}:{dns_port}"),
                *("-management", f"{LOOPBACK}:{management_port}"),
                *("-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""),
            ],
            log_path=home / "challtestsrv.log",
            ready=answers,
        )
        try:
            yield cls(http_port, dns_port, management_port, process)
        finally:
            await process.stop()

    async def manage(self, command: str, body: Mapping[str, Any]) -> None:
        """Send a management command, such as `manage("add-http01", {"token": ..., "content": ...})`."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=HTTP_TIMEOUT) as client:
            answer = await client.post(f"http://{LOOPBACK}:{self.management_port}/{command}", json=body)
        if answer.status_code != 200:
            raise ServerFailed(f"pebble-challtestsrv answered {answer.status_code} to {command}")
