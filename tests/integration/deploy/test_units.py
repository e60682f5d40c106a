"""The commands of deploy/systemd, run as systemd would: credentials in a folder, notifications on a socket, signals."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes.units import Unit

from embedded.database import Database
from embedded.envoy import program
from embedded.identity import IdentityProvider
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.process import Process, children, run
from embedded.stack import answers
from embedded.vault_mount import VaultMount

Eventually = Callable[..., Awaitable[Any]]
NAMEPLATE = str(Path(sys.executable).with_name("nameplate"))
PLACES = {"/opt/nameplate/bin/nameplate": NAMEPLATE, "/usr/local/bin/envoy": str(program())}


class Manager:
    """What systemd hears by sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """First lines, in their order."""
        try:
            while True:
                self._heard.append(self._socket.recv(4096).decode().partition("\n")[0])
        except BlockingIOError:
            return self._heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(state_dir: Path) -> Iterator[Manager]:
    listening = Manager(state_dir / "notify")
    yield listening
    listening.close()


@pytest.fixture
def settings(database: Database, vault_mount: VaultMount, state_dir: Path) -> dict[str, str]:
    """In place of the examples of the .env files; no secrets."""
    identity = IdentityProvider.create()
    (state_dir / "jwks.json").write_text(identity.jwks())
    (state_dir / "run").mkdir(mode=0o700)
    (state_dir / "state").mkdir(mode=0o700)
    return {
        "NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": database.api_dsn,
        "NAMEPLATE_SIDECAR_DATABASE_URL": database.sidecar_dsn,
        "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
        "NAMEPLATE_JWT_JWKS_FILE": str(state_dir / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": identity.issuer,
        "NAMEPLATE_JWT_AUDIENCE": identity.audience,
        "NAMEPLATE_ACME_DIRECTORY_URL": "https://ca.test/directory",
        # In the units these are the defaults.
        "NAMEPLATE_CHECK_ADDRESS": f"unix:{state_dir}/run/check.sock",
        "NAMEPLATE_XDS_ADDRESS": f"unix:{state_dir}/run/xds.sock",
        "NAMEPLATE_STATE_DIR": str(state_dir / "state"),
    }


def environment(unit: Unit, settings: dict[str, str], credentials: Path, secret_id: str) -> dict[str, str]:
    """The unit's Environment= lines with %d filled in, over the settings."""
    credentials.mkdir(mode=0o700)
    for name in unit.credentials:
        file = credentials / name
        file.write_text(f"{secret_id if 'vault' in name else 'a password'}\n")
        file.chmod(0o400)
    own = dict(line.split("=", 1) for line in unit.all("Environment"))
    return {**settings, **{name: value.replace("%d", str(credentials)) for name, value in own.items()}}


async def test_control_starts_with_its_credentials_and_ends_in_time(
    settings: dict[str, str], vault_mount: VaultMount, state_dir: Path
) -> None:
    unit, port = Unit.read("nameplate-control.service"), free_port()
    role_id, secret_id = vault_mount.control
    given = environment(unit, settings, state_dir / "credentials", secret_id)
    given |= {"NAMEPLATE_VAULT_ROLE_ID": role_id, "NAMEPLATE_API_LISTEN": f"{LOOPBACK}:{port}"}
    process = await Process.start(
        "control",
        unit.command("ExecStart", PLACES),
        log_path=state_dir / "control.log",
        ready=answers(f"http://{LOOPBACK}:{port}/readyz"),
        env=given,
        cwd=Path("/"),
    )
    assert await process.stop(float(unit.one("TimeoutStopSec"))) == 0


async def test_settings_that_cannot_be_used_are_not_tried_again(settings: dict[str, str], state_dir: Path) -> None:
    for name in ("nameplate-control.service", "nameplate-sidecar.service"):
        unit = Unit.read(name)
        wrong = {**settings, "NAMEPLATE_LOG_LEVEL": "loud"}
        child = await asyncio.create_subprocess_exec(
            *unit.command("ExecStart", PLACES),
            env={**os.environ, **wrong},
            cwd="/",
            stderr=asyncio.subprocess.PIPE,
        )
        said = (await child.communicate())[1].decode()
        assert (child.returncode, "NAMEPLATE_LOG_LEVEL" in said) == (int(unit.one("RestartPreventExitStatus")), True)


async def test_the_sidecar_says_when_it_is_ready_reloaded_and_stopping_and_envoy_drains(
    settings: dict[str, str], vault_mount: VaultMount, state_dir: Path, manager: Manager, eventually: Eventually
) -> None:
    unit = Unit.read("nameplate-sidecar.service")
    admin, http, https, envoy_admin = (free_port() for _ in range(4))
    role_id, secret_id = vault_mount.sidecar
    given = environment(unit, settings, state_dir / "credentials", secret_id)
    given |= {
        "NAMEPLATE_VAULT_ROLE_ID": role_id,
        "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{admin}",
        "NAMEPLATE_HTTP_PORT": str(http),
        "NAMEPLATE_HTTPS_PORT": str(https),
        "NAMEPLATE_LISTEN_ADDRESS": LOOPBACK,
        "NOTIFY_SOCKET": str(manager.path),
    }

    async def is_ready() -> bool:
        return manager.heard() == ["READY=1"]

    sidecar = await Process.start(
        "sidecar",
        unit.command("ExecStart", PLACES),
        log_path=state_dir / "sidecar.log",
        ready=is_ready,
        env=given,
        cwd=Path("/"),
    )
    async with asyncio.timeout(120):
        (state_dir / "envoy.yaml").write_text(
            await run([NAMEPLATE, "bootstrap", "--node-id", "edge", "--admin", f"{LOOPBACK}:{envoy_admin}"], env=given)
        )
        edge = Unit.read("envoy.service")
        envoy = await Process.start(
            "envoy",
            edge.command("ExecStart", {**PLACES, "/etc/nameplate/envoy.yaml": str(state_dir / "envoy.yaml")}),
            log_path=state_dir / "envoy.log",
            ready=answers(f"http://{LOOPBACK}:{envoy_admin}/ready"),
            cwd=Path("/"),
        )
        try:
            async with plain_http() as client:
                page = await client.get(f"http://{LOOPBACK}:{http}/", headers={"Host": "nobody.test"})
            assert page.status_code == 404

            before = children(sidecar.pid)
            reload = [word.replace("$MAINPID", str(sidecar.pid)) for word in unit.command("ExecReload", {})]
            await run(reload)
            await eventually(lambda: manager.heard() == ["READY=1", "RELOADING=1", "READY=1"], timeout=60)
            await eventually(lambda: len(children(sidecar.pid)) == 1 and children(sidecar.pid) != before, timeout=60)

            drain = [*edge.command("ExecStop", PLACES), "--admin", f"{LOOPBACK}:{envoy_admin}", "--least", "0"]
            assert (await run(drain)).startswith("connections left: 0,")
        finally:
            await envoy.stop()
            code = await sidecar.stop(float(unit.one("TimeoutStopSec")))
    assert code == 0
    assert manager.heard()[-1] == "STOPPING=1"
    assert "Traceback" not in (state_dir / "sidecar.log").read_text()
