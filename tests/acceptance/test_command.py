"""The `nameplate` command, as an operator types it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from scenes.play import Play

from control.domains.imports import LOCK_TENANT
from embedded.identity import AUDIENCE, ISSUER, IdentityProvider
from embedded.plain_http import plain_http
from embedded.stack import Stack


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def nameplate(*arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ended:
    """Run it to its end. `environment`: nothing of ours beside it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NAMEPLATE_", "DOMAINS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        env={**inherited, "COLUMNS": "200", **(environment or {})},
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_the_doctor_finds_nothing_in_a_sound_stack(stack: Stack) -> None:
    ended = await nameplate("doctor", environment=stack.control_environment)
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert len(lines) == 19
    assert all(line.startswith("✓") for line in lines)


async def test_the_doctor_names_what_mends_each_trouble(stack: Stack) -> None:
    broken = {
        **stack.control_environment,
        "NAMEPLATE_CONTROL_DATABASE_URL": stack.dsn("postgres"),
        "NAMEPLATE_API_DATABASE_URL": stack.dsn("nameplate_control"),
        "NAMEPLATE_VAULT_ADDR": "http://127.0.0.1:1",
        "NAMEPLATE_ACME_DIRECTORY_URL": stack.openbao.url,
        "NAMEPLATE_CNAME_TARGET": f"absent.{stack.control_environment['NAMEPLATE_PLATFORM_DOMAIN']}",
    }
    ended = await nameplate("doctor", environment=broken)
    assert ended.code == 1
    assert ended.out.count("✗") == ended.out.count("→") == 5, ended.out
    for mend in ("connect as nameplate_control", "connect as nameplate_api", "NAMEPLATE_VAULT_ADDR", "ACME", "absent."):
        assert mend in ended.out
    assert broken["NAMEPLATE_VAULT_SECRET_ID"] not in ended.out + ended.err


async def test_a_second_migration_says_that_there_is_nothing_to_do(stack: Stack) -> None:
    ended = await nameplate("migrate", environment={"NAMEPLATE_OWNER_DATABASE_URL": stack.dsn()})
    assert ended == (0, "up to date\n", "")


async def test_a_migration_without_rights_says_why_in_a_line(stack: Stack) -> None:
    dsn = stack.postgres.dsn("postgres", "nameplate_sidecar")
    ended = await nameplate("migrate", environment={"NAMEPLATE_OWNER_DATABASE_URL": dsn})
    assert ended.code == 1
    assert "permission denied" in ended.err
    assert "Traceback" not in ended.err


async def test_a_development_token_is_taken_by_the_api(play: Play, tmp_path: Path) -> None:
    """Its key is not the stack's, so that the API must be shown it: here, by a look at what the token says."""
    tenant = uuid4()
    ended = await nameplate(
        "token", "--tenant", str(tenant), "--key", str(tmp_path / "key.pem"), "--jwks", str(tmp_path / "jwks.json")
    )
    assert ended.code == 0, ended.err
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    refused = await play.http.get("domains", headers={"Authorization": f"Bearer {ended.out.strip()}"})
    assert (refused.status_code, refused.json()["code"]) == (401, "token_unknown_key")
    same_key = IdentityProvider.from_file(tmp_path / "key.pem", ISSUER, AUDIENCE)
    assert (tmp_path / "jwks.json").read_text() == same_key.jwks()
    jwks = play.stack.home / "jwks.json"
    before = jwks.read_text()
    jwks.write_text(same_key.jwks())
    try:
        taken = await play.http.get("domains", headers={"Authorization": f"Bearer {ended.out.strip()}"})
        assert (taken.status_code, taken.json()["data"]) == (200, [])
    finally:
        jwks.write_text(before)


async def test_missing_settings_are_named_in_a_line_each_and_nothing_is_printed_of_the_others() -> None:
    secret = {"NAMEPLATE_VAULT_SECRET_ID": "s3cr3t", "NAMEPLATE_API_LISTEN": "nowhere"}
    for process in ("control", "sidecar", "doctor", "migrate"):
        ended = await nameplate(process, environment=secret)
        assert ended.code == 2, (process, ended)
        assert "Traceback" not in ended.err
        assert "s3cr3t" not in ended.out + ended.err
        assert "NAMEPLATE_" in ended.err


async def test_help_names_every_command() -> None:
    ended = await nameplate("--help")
    assert ended.code == 0
    for command in ("demo", "control", "sidecar", "migrate", "token", "vault-policy", "doctor"):
        assert command in ended.out


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("control", ("NAMEPLATE_JWT_…", "NAMEPLATE_VAULT_…", "NAMEPLATE_ACME_DIRECTORY_URL")),
        ("sidecar", ("NAMEPLATE_SIDECAR_DATABASE_URL", "NAMEPLATE_VAULT_…")),
        ("migrate", ("NAMEPLATE_OWNER_DATABASE_URL",)),
        ("doctor", ("control|sidecar", "Whose settings")),
    ],
)
async def test_help_names_what_a_command_reads(command: str, names: tuple[str, ...]) -> None:
    ended = await nameplate(command, "--help")
    assert ended.code == 0
    for name in names:
        assert name in ended.out


async def test_an_unknown_ca_is_refused_before_anything_is_started() -> None:
    ended = await nameplate("demo", "--ca", "letsencrypt")
    assert (ended.code, ended.out) == (2, "")
    assert "pebble" in ended.err


async def test_a_suffix_that_the_operator_blocks_can_be_claimed_by_nobody(play: Play, ports) -> None:
    address = f"127.0.0.1:{ports(1)[0]}"
    changes = {"NAMEPLATE_API_LISTEN": address, "NAMEPLATE_BLOCKED_SUFFIXES": "internal, corp.test"}
    process = await play.stack.start_control("control-blocking", **changes)
    try:
        headers = {"Authorization": f"Bearer {play.customer().token}"}
        for hostname in ("shop.internal", "a.b.corp.test"):
            response = await play.http.post(
                f"http://{address}/v1/domains", json={"hostname": hostname}, headers=headers
            )
            assert (response.status_code, response.json()["code"]) == (422, "blocked_suffix")
    finally:
        await process.stop()


async def test_a_process_that_is_told_to_end_answers_what_it_was_asked_and_ends_with_success(play: Play, ports) -> None:
    owner, address = play.customer(), f"127.0.0.1:{ports(1)[0]}"
    process = await play.stack.start_control("control-ending", NAMEPLATE_API_LISTEN=address)
    connection = await asyncpg.connect(play.stack.dsn())

    async def waits() -> bool:
        return bool(
            await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )

    async def takes_no_more() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        except ConnectionRefusedError:
            return True
        writer.transport.abort()
        return False

    try:
        async with connection.transaction():
            await connection.execute(LOCK_TENANT, str(owner.tenant_id))
            asked = asyncio.create_task(
                play.http.post(
                    f"http://{address}/v1/domains",
                    json={"hostname": f"shop.{play.zone}"},
                    headers={"Authorization": f"Bearer {owner.token}"},
                )
            )
            await play.eventually(waits)
            process.signal(signal.SIGTERM)
            await play.eventually(takes_no_more)
        assert (await asked).status_code == 201
        assert await process.wait() == 0
    finally:
        await connection.close()
        if process.returncode is None:
            await process.stop()


async def test_a_taken_port_is_said_in_a_line_and_not_a_traceback(stack: Stack) -> None:
    ended = await nameplate("control", environment=stack.control_environment)
    assert ended.code == 2
    assert "Address already in use" in ended.err
    assert "Traceback" not in ended.err
    async with plain_http() as http:
        assert (await http.get(f"http://127.0.0.1:{stack.api_port}/readyz")).status_code == 200
