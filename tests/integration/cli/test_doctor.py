"""`nameplate doctor` on real servers: what it finds wrong, and what it says would mend it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from core.vault import DEFAULT_CERTIFICATE, eab_path
from embedded.ari import AriFront
from embedded.database import Database
from embedded.dns import DnsServer
from embedded.identity import IdentityProvider
from embedded.knot import KnotZone
from embedded.pebble import Pebble
from embedded.ports import free_port
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


async def test_cas_that_want_other_settings_are_found(
    environment: dict[str, str], pebble: Pebble, state_dir: Path, tmp_path: Path, vault_mount: VaultMount
) -> None:
    del environment["NAMEPLATE_ACME_DIRECTORY_URL"]
    async with AriFront.start(state_dir, pebble, profiles={"classic": ""}) as front:
        file = tmp_path / "cas.toml"
        environment["NAMEPLATE_ACME_CAS_FILE"] = str(file)
        plain = "".join(
            f"""[[ca]]
            name = "{name}"
            directory_url = "{ca.directory_url}"
            ca_file = "{ca.ca_bundle}"
            """
            for name, ca in (("pebble", pebble), ("front", front))
        )
        file.write_text(plain)
        assert (await doctor(environment))[1]["ACME directory"] == "all 2 answer"
        file.write_text(f'{plain}\nprofile = "short"\neab = true')
        _, said = await doctor(environment)
        assert "front: no profile short, it offers: classic → check NAMEPLATE_ACME_CAS_FILE" in said["ACME directory"]
    assert said["Vault"].startswith("the platform's own certificate is not there"), "the first thing to mend"
    await vault_mount.openbao.request(
        "POST", f"{vault_mount.path}/data/{DEFAULT_CERTIFICATE}", {"data": {"chain": "", "key": ""}}
    )
    _, said = await doctor(environment)
    assert "front's external account binding is not there" in said["Vault"]
    assert eab_path(front.directory_url) in said["Vault"]


async def test_a_ca_that_wants_a_binding_that_is_not_configured_is_found(
    environment: dict[str, str], state_dir: Path, dns_server: DnsServer, pebble_package: None
) -> None:
    async with Pebble.start(
        state_dir, dns_server=dns_server.address, http_port=free_port(), external_accounts={}
    ) as binding:
        environment["NAMEPLATE_ACME_DIRECTORY_URL"] = binding.directory_url
        environment["NAMEPLATE_ACME_CA_FILE"] = str(binding.ca_bundle)
        _, said = await doctor(environment)
    assert "ca: asks for an external account binding → write eab = true" in said["ACME directory"]


async def test_the_zone_for_dns_01_is_written_to(
    environment: dict[str, str], state_dir: Path, dns_packages: None
) -> None:
    _, said = await doctor(environment)
    assert said["zone for DNS-01"] == "none, so there are no wildcards"
    async with KnotZone.start(state_dir, "acme.platform.test", secondaries=1) as knot:
        zone = {
            "NAMEPLATE_ACME_DNS_ZONE": knot.zone,
            "NAMEPLATE_ACME_DNS_SERVER": knot.primary.address,
            "NAMEPLATE_ACME_DNS_SERVERS": ", ".join(knot.addresses),
            "NAMEPLATE_ACME_DNS_TSIG_NAME": knot.key.name,
            "NAMEPLATE_ACME_DNS_TSIG_SECRET": knot.key.secret,
        }
        _, said = await doctor(environment, **zone)
        assert said["zone for DNS-01"] == "takes records, and its servers show them"
        _, said = await doctor(environment, **zone | {"NAMEPLATE_ACME_DNS_TSIG_SECRET": knot.stranger.secret})
        assert "BADSIG" in said["zone for DNS-01"]
        assert "→ check NAMEPLATE_ACME_DNS_…" in said["zone for DNS-01"]
        assert knot.stranger.secret not in "".join(said.values())
