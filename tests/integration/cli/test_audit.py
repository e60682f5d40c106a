"""`nameplate audit` and `nameplate certificates` as processes, on real servers."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from control.audit.anchor import Anchoring
from control.vault import Vault
from core.vault_login import AppRole
from embedded.database import Database
from embedded.vault_mount import VaultMount

TENANT = UUID(int=7)


@pytest.fixture
def environment(database: Database, vault_mount: VaultMount) -> dict[str, str]:
    return {
        "NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": vault_mount.control.secret_id,
    }


async def run(environment: dict[str, str], *words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *words,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return (await process.wait(), (await process.communicate())[0].decode())


async def test_the_log_is_verified_anchored_anew_and_what_was_changed_is_said(
    environment: dict[str, str], database: Database, vault_mount: VaultMount
) -> None:
    role = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    async with asyncpg.create_pool(database.superuser_dsn, min_size=0, max_size=2) as pool:
        for action in ("add", "verify", "activate"):
            await pool.execute(
                """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action)
                   VALUES ($1, $1, 'x.example', 'x', $2)""",
                TENANT,
                action,
            )
        await Anchoring(pool, vault).anchor()
        vault.close()
        assert await run(environment, "audit", "verify") == (0, "3 rows of 1 tenants, 1 checkpoints: whole\n")

        code, said = await run({**environment, "NAMEPLATE_VAULT_SECRET_ID": "wrong"}, "audit", "verify")
        assert (code, said) == (
            2,
            "nameplate: Vault refuses control (the login at auth/approle/login is not accepted).\n",
        )

        await pool.execute(
            "ALTER TABLE audit DISABLE TRIGGER append_only; UPDATE audit SET actor = 'y' WHERE action = 'verify';"
        )
        audit_id = await pool.fetchval("SELECT id FROM audit WHERE action = 'verify'")
        for words in ((), ("--tenant", str(TENANT)), ("--without-vault",)):
            code, said = await run(environment, "audit", "verify", *words)
            assert code == 1
            assert said.splitlines() == [
                f"changed: tenant {TENANT}, row 2 (audit.id {audit_id}): is not what was written",
                "3 rows of 1 tenants, 1 checkpoints: 1 findings",
            ]

        await pool.execute("ALTER TABLE audit_checkpoints DISABLE TRIGGER append_only; DELETE FROM audit_checkpoints;")
        code, said = await run(environment, "audit", "verify")
        assert "removed: checkpoint 1: was made, as Vault knows, and is not there" in said.splitlines()
        assert await run(environment, "audit", "accept") == (0, "there is nothing to anchor\n")


async def test_without_a_database_nothing_is_said_to_be_whole(environment: dict[str, str]) -> None:
    away = {**environment, "NAMEPLATE_CONTROL_DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:1/none"}
    code, said = await run(away, "audit", "verify", "--without-vault")
    assert code == 2
    assert said.startswith("nameplate: PostgreSQL: ")
    assert "hidden" not in said


async def test_certificates_are_chosen_and_replaced(
    environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(database.superuser_dsn)
    for serial in ("0a1b", "ff"):
        await owner.execute(
            """WITH tenant AS (INSERT INTO tenants (slug) VALUES ($1) RETURNING id),
               added AS (INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status,
                   ssl_status) SELECT id, $1 || '.example', 't', now(), 'active', 'issued' FROM tenant RETURNING id),
               stored AS (INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                   vault_version, directory_url) SELECT id, ltrim($1, '0'), 'CA', encode(sha256($1::bytea), 'hex'),
                   now(), now() + interval '90 days', 1, 'https://ca.test/dir' FROM added RETURNING id, domain_id)
               SELECT domain_id, id FROM stored""",
            serial,
        )
    await owner.execute(
        """UPDATE custom_domains d SET certificate_id = c.id, renew_at = now() + interval '60 days'
           FROM certificates c WHERE c.domain_id = d.id"""
    )
    due = "SELECT count(*) FROM custom_domains WHERE renew_at <= now() + interval '24 hours'"
    serials = tmp_path / "serials"
    serials.write_text("0A:1B\n")
    arguments = ("certificates", "replace", "--within", "24h")
    assert await run(environment, *arguments, "--serials", str(serials)) == (
        0,
        "1 certificates will be replaced within 24h\n",
    )
    assert await owner.fetchval(due) == 1
    found = await run(environment, *arguments, "--directory", "https://ca.test/dir")
    assert found == (0, "2 certificates will be replaced within 24h\n")
    assert await owner.fetchval(due) == 2
    await owner.close()
    serials.write_text("not hexadecimal\n")
    for wrong in (arguments, (*arguments, "--serials", str(serials)), ("certificates", "replace", "--within", "1y")):
        code, said = await run(environment, *wrong)
        assert code == 2, said
