"""`nameplate doctor` on real servers: what it finds wrong, and what it says would mend it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from embedded.database import Database
from embedded.identity import IdentityProvider
from embedded.vault_mount import VaultMount


@pytest.fixture
def environment(database: Database, vault_mount: VaultMount, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "jwks.json").write_text(IdentityProvider.create().jwks())
    return {
        "NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": database.api_dsn,
        "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
        "NAMEPLATE_DNS_RESOLVERS": "127.0.0.1:1",
        "NAMEPLATE_JWT_JWKS_FILE": str(tmp_path / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": "issuer",
        "NAMEPLATE_JWT_AUDIENCE": "audience",
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": vault_mount.control.secret_id,
        "NAMEPLATE_ACME_DIRECTORY_URL": "http://127.0.0.1:1/dir",
    }


async def doctor(environment: dict[str, str], **changes: str) -> tuple[int | None, dict[str, str]]:
    """The exit code, and for each thing looked at what is said of it, the remedy included."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        "doctor",
        env={**os.environ, **environment, **changes},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    text = (await process.communicate())[0].decode()
    lines = text.replace("\n    → ", " → ").splitlines()
    return process.returncode, dict(line[2:].split(": ", 1) for line in lines if line)


async def test_what_is_well_is_said_and_what_is_not_has_a_remedy_on_one_line(environment: dict[str, str]) -> None:
    code, said = await doctor(environment)
    assert code == 1
    assert said["PostgreSQL, as the workers"] == "migrated"
    assert said["PostgreSQL, as the tenants' API"] == "held to one tenant by row level security"
    assert said["keys of tenants' tokens"] == "1 found"
    assert said["Vault"].endswith("chain=@chain.pem key=@key.pem")
    assert "→ check NAMEPLATE_ACME_DIRECTORY_URL" in said["ACME directory"]
    assert "Unreachable" in said["DNS resolvers"]


async def test_the_wrong_roles_a_wrong_secret_and_missing_keys_are_told_apart(
    environment: dict[str, str], database: Database
) -> None:
    _, said = await doctor(
        environment,
        NAMEPLATE_CONTROL_DATABASE_URL=database.api_dsn,
        NAMEPLATE_API_DATABASE_URL=database.sidecar_dsn,
        NAMEPLATE_VAULT_SECRET_ID="not-the-secret",
        NAMEPLATE_JWT_JWKS_FILE="/nonexistent/[jwks].json",
    )
    assert said["PostgreSQL, as the workers"].endswith("→ connect as nameplate_control")
    assert said["PostgreSQL, as the tenants' API"].endswith("→ connect as nameplate_api")
    assert "→ check NAMEPLATE_VAULT_ROLE_ID, …_SECRET_ID" in said["Vault"]
    assert "not-the-secret" not in "".join(said.values())
    assert "'/nonexistent/[jwks].json' → check NAMEPLATE_JWT_JWKS_FILE" in said["keys of tenants' tokens"]


async def test_an_api_that_would_see_every_tenant_is_found(environment: dict[str, str], database: Database) -> None:
    _, said = await doctor(environment, NAMEPLATE_API_DATABASE_URL=database.superuser_dsn)
    assert said["PostgreSQL, as the tenants' API"].endswith("sees every tenant's rows → connect as nameplate_api")
