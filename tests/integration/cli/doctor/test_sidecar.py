"""`nameplate doctor sidecar` beside a real sidecar and a real Envoy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from scenes import doctored
from scenes import edge as edges
from scenes.doctored import codes, one
from scenes.edge import Edge

from cli.doctor.findings import Level
from embedded.database import Database
from embedded.debian import ensure
from embedded.envoy import program
from embedded.pgbouncer import PgBouncer
from embedded.pki import Pki
from embedded.ports import LOOPBACK
from embedded.process import Process
from embedded.vault_mount import VaultMount

SOCKETS = "sockets"


@pytest.fixture
async def edge(state_dir: Path, database: Database, vault_mount: VaultMount, pki: Pki) -> AsyncIterator[Edge]:
    """Nothing is running yet."""
    edge = edges.create(state_dir, database, vault_mount, pki)
    await edge.add_default_certificate()
    yield edge


async def test_of_what_is_well_every_check_says_so_and_of_what_was_killed_what_it_left(
    edge: Edge, eventually: Callable[..., Awaitable[Any]]
) -> None:
    async with edges.serve(edge):
        admin = f"unix:{edge.home}/envoy/admin.sock"
        envoy = str(program())
        findings = await doctored.sidecar(edge.environment, envoy=envoy, admin=admin)
        assert codes(findings) == set(), findings
        said = {finding.check: finding.seen for finding in findings}
        assert said["sidecar"].startswith("ready, ")
        assert said["Envoy"] == "version 1.40"
        assert said["Envoy's bootstrap"] == "Envoy takes it"
        assert said["Envoy's administration"] == "live, version 1.40"
        assert said["Vault's policy"] == "what sidecar does, and no more"
        assert said["rights of nameplate_sidecar"] == "what it needs"
        code, text = await doctored.command(
            edge.environment, "sidecar", "--json", f"--envoy={envoy}", f"--envoy-admin={admin}"
        )
        assert (code, json.loads(text)["well"]) == (0, True)

        check = edge.home / "run" / "check.sock"
        check.chmod(0o666)
        assert one(await doctored.sidecar(edge.environment, SOCKETS), "socket_open").mend == f"chmod 600 {check}"
        check.chmod(0o600)
        edge.running.kill()
        await edge.running.wait()

        async def gone() -> bool:
            return codes(await doctored.sidecar(edge.environment, SOCKETS)) == {"socket_stale"}

        await eventually(gone)
        findings = await doctored.sidecar(edge.environment, SOCKETS, "sidecar")
        assert codes(findings) == {"socket_stale", "socket_missing"}
        assert {finding.level for finding in findings} == {Level.WARNING}


async def test_names_that_are_taken_and_folders_that_are_none_are_found(edge: Edge, tmp_path: Path) -> None:
    findings = await doctored.sidecar(edge.environment, SOCKETS, "snapshot", "sidecar")
    assert codes(findings) == {"socket_missing"}
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "check.sock").write_text("")
    environment = {
        **edge.environment,
        "NAMEPLATE_CHECK_ADDRESS": f"unix:{tmp_path}/run/check.sock",
        "NAMEPLATE_XDS_ADDRESS": f"unix:{tmp_path}/file/xds.sock",
        "NAMEPLATE_STATE_DIR": f"{tmp_path}/file/state",
    }
    findings = await doctored.sidecar(environment, SOCKETS, "snapshot")
    assert one(findings, "socket_foreign").mend == f"rm {tmp_path}/run/check.sock"
    assert one(findings, "socket_directory").mend.startswith("install -d -m 0700")
    assert f"{tmp_path}/file/state" in one(findings, "state_directory").mend


async def test_a_sidecar_that_runs_and_cannot_serve_says_why(edge: Edge) -> None:
    edge.environment = {
        **edge.environment,
        "NAMEPLATE_SIDECAR_DATABASE_URL": f"postgresql://nameplate_sidecar:hunter2@{LOOPBACK}:1/none?sslmode=disable",
    }

    async def answers() -> bool:
        try:
            return (await edge.admin("/readyz")).status_code == 503
        except httpx.TransportError:
            return False

    running = await Process.start(
        "sidecar", edge.command, log_path=edge.home / "sidecar.log", ready=answers, env=edge.environment
    )
    try:
        findings = await doctored.sidecar(edge.environment, "sidecar", "PostgreSQL", "LISTEN")
    finally:
        await running.stop()
    assert "the directory is not loaded" in one(findings, "sidecar_not_ready").seen
    assert codes(findings) == {"sidecar_not_ready", "postgresql_unreachable"}
    assert "hunter2" not in str(findings)


async def test_an_envoy_that_is_missing_of_another_version_or_refuses_its_bootstrap_is_found(
    edge: Edge, tmp_path: Path
) -> None:
    findings = await doctored.sidecar(edge.environment, "Envoy", "Envoy's administration", envoy="/nonexistent/envoy")
    assert one(findings, "envoy_missing").level is Level.WARNING
    assert one(findings, "envoy_admin").level is Level.WARNING
    other = tmp_path / "envoy"
    other.write_text("#!/bin/sh\necho 'envoy  version: 0123abcd/1.31.2/Clean/RELEASE/BoringSSL'\n")
    other.chmod(0o755)
    findings = await doctored.sidecar(edge.environment, "Envoy", envoy=str(other))
    assert one(findings, "envoy_version").mend == "use Envoy 1.40"
    other.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || set -- "$@" --config-yaml "no: such"\nexec {program()} "$@"\n'
    )
    findings = await doctored.sidecar(edge.environment, "Envoy", envoy=str(other))
    assert "no such field" in one(findings, "envoy_configuration").seen
    assert "--mode validate" in one(findings, "envoy_configuration").mend


async def test_a_policy_and_a_pooler_that_are_not_for_a_sidecar_are_found(edge: Edge, state_dir: Path) -> None:
    ensure("pgbouncer")
    mount, database = edge.mount, edge.database
    async with PgBouncer.start(state_dir, database.postgres) as pooler:
        environment = {
            **edge.environment,
            "NAMEPLATE_VAULT_ROLE_ID": mount.control.role_id,
            "NAMEPLATE_VAULT_SECRET_ID": mount.control.secret_id,
            "NAMEPLATE_SIDECAR_DATABASE_URL": pooler.dsn(database.name, "nameplate_sidecar"),
        }
        findings = await doctored.sidecar(environment, "LISTEN", "PostgreSQL", "Vault")
    assert "nameplate vault-policy sidecar" in next(f.mend for f in findings if f.code == "vault_policy_wide")
    assert "NAMEPLATE_SIDECAR_LISTEN_DATABASE_URL" in one(findings, "listener_behind_pooler").mend
    assert codes(findings) == {"vault_policy_wide", "listener_behind_pooler"}


async def test_settings_that_cannot_be_used_end_with_2(edge: Edge) -> None:
    environment = {**edge.environment, "NAMEPLATE_SIDECAR_DATABASE_URL": "mysql://u:hunter2@h/d"}
    code, text = await doctored.command(environment, "sidecar")
    assert code == 2
    assert text.startswith("nameplate: NAMEPLATE_SIDECAR_DATABASE_URL: must be postgresql://")
    assert "hunter2" not in text
