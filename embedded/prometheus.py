"""Debian's Prometheus on loopback, and its `promtool`: what operators run, to check what we give them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from embedded import debian
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.process import Process, ServerFailed, run

SCRAPE_EVERY = "1s"
HTTP_TIMEOUT = 10.0


@dataclass(slots=True)
class Prometheus:
    """A Prometheus server. Its methods may be called from any event loop."""

    home: Path
    port: int
    _process: Process

    @classmethod
    @asynccontextmanager
    async def start(
        cls, state_dir: Path, targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()
    ) -> AsyncIterator[Prometheus]:
        """Scrape `targets` (by job, HOST:PORT each) until the block ends. Raises PackageMissing and ServerFailed."""
        home = state_dir / "prometheus"
        home.mkdir(mode=0o700)
        port = free_port()
        (home / "prometheus.json").write_text(json.dumps(_configuration(targets, rules), indent=2))

        async def ready() -> bool:
            try:
                async with plain_http() as client:
                    return (await client.get(f"http://{LOOPBACK}:{port}/-/ready", timeout=5)).status_code == 200
            except httpx.TransportError:
                return False

        process = await Process.start(
            "Prometheus",
            [
                debian.require("prometheus", "prometheus"),
                f"--config.file={home}/prometheus.json",
                f"--storage.tsdb.path={home}/data",
                f"--web.listen-address={LOOPBACK}:{port}",
                "--log.level=warn",
            ],
            log_path=home / "prometheus.log",
            ready=ready,
            env=debian.environment("prometheus"),
        )
        try:
            yield cls(home, port, process)
        finally:
            await process.stop()

    async def get(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of /api/v1/{path}. Raises ServerFailed with Prometheus' own words."""
        async with plain_http(timeout=HTTP_TIMEOUT) as client:
            response = await client.get(f"http://{LOOPBACK}:{self.port}/api/v1/{path}", params=parameters)
        body = response.json()
        if body["status"] != "success":
            raise ServerFailed(f"Prometheus answered {body.get('errorType')}: {body.get('error')}")
        return body["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression: [{metric: {label: value}, value: [time, text]}, …]."""
        data = await self.get("query", query=expression)
        return list(data["result"])

    async def is_scraped(self) -> bool:
        """Whether every target has been scraped, well, at least once."""
        targets = (await self.get("targets"))["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    async def kinds(self) -> dict[str, str]:
        """Type by name of every metric that the targets have described, also of those without a series."""
        return {one["metric"]: one["type"] for one in await self.get("targets/metadata")}


async def lint(exposition: str) -> str:
    """What `promtool check metrics` complains of in what a /metrics has shown; empty: of nothing."""
    program = debian.require("prometheus", "promtool")
    process = await asyncio.create_subprocess_exec(
        program,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=debian.environment("prometheus"),
    )
    said, _ = await process.communicate(exposition.encode())
    return said.decode() or ("" if process.returncode == 0 else f"exit code {process.returncode}")


async def promtool(*arguments: str | Path) -> str:
    """Run promtool; what it wrote. Raises ServerFailed with that when it finds something."""
    return await run([debian.require("prometheus", "promtool"), *arguments], env=debian.environment("prometheus"))


def _configuration(targets: Mapping[str, Sequence[str]], rules: Sequence[Path]) -> dict[str, Any]:
    """JSON is YAML."""
    return {
        "global": {"scrape_interval": SCRAPE_EVERY, "evaluation_interval": SCRAPE_EVERY},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
