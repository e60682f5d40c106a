"""`nameplate doctor` on real servers: all well, and then what is wrong with each, and what it says would mend it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from scenes import doctored
from scenes.doctored import codes, one
from scenes.silent import Silent

from cli.doctor import run
from cli.doctor.finding import Check, Finding
from cli.doctor.findings import Level
from core.vault import eab_path
from embedded.ari import AriFront
from embedded.dns import DnsServer
from embedded.knot import KnotZone
from embedded.localhost_tls import LocalhostTls
from embedded.pebble import Pebble
from embedded.ports import LOOPBACK, free_port
from embedded.process import Process

Environment = dict[str, str]


async def test_of_what_is_well_every_check_says_so(environment: Environment) -> None:
    findings = await doctored.control(environment)
    assert codes(findings) == set(), findings
    said = {finding.check: finding.seen for finding in findings}
    assert said["PostgreSQL, as the workers"].startswith("version 18.")
    assert said["migrations"] == "all are applied"
    assert said["row level security"] == "forced on every table"
    assert said["tenants apart"] == "nothing is seen without a tenant"
    assert said["LISTEN"] == "hears"
    assert said["Vault's policy"] == "what control does, and no more"
    assert said["platform certificate"].startswith("good until ")
    assert said["ACME directory"] == "answers"
    assert said["keys of tenants' tokens"] == "1 found"
    assert said["zone for DNS-01"] == "none, so there are no wildcards"
    assert said["clock"].startswith("PostgreSQL ")


async def test_the_command_ends_with_0_1_or_2_says_it_as_json_and_never_a_secret(
    environment: Environment, tmp_path: Path
) -> None:
    code, text = await doctored.command(environment, "--json")
    assert (code, json.loads(text)["well"]) == (0, True)
    environment |= {
        "NAMEPLATE_VAULT_SECRET_ID": "hunter2-secret-id",
        "NAMEPLATE_CONTROL_DATABASE_URL": "postgresql://nameplate_control:hunter2@127.0.0.1:1/none",
        "NAMEPLATE_JWT_JWKS_FILE": "/nonexistent/[jwks].json",
        "NAMEPLATE_SMTP_URL": f"smtp://user:hunter2@{LOOPBACK}:1",
        "NAMEPLATE_MAIL_FROM": "a@platform.test",
    }
    code, text = await doctored.command(environment)
    assert code == 1
    assert "✗ PostgreSQL, as the workers: " in text
    assert "    → check NAMEPLATE_CONTROL_DATABASE_URL and its password" in text
    assert "'/nonexistent/[jwks].json'\n    → check NAMEPLATE_JWT_JWKS_FILE" in text
    assert "hunter2" not in text
    code, text = await doctored.command(environment, "--json")
    found = {finding["code"]: finding for finding in json.loads(text)["findings"]}
    assert {"postgresql_unreachable", "vault_login_refused", "token_keys_missing", "smtp_unusable"} <= found.keys()
    assert "hunter2" not in text
    environment["NAMEPLATE_VAULT_TOKEN_FILE"] = "/t"
    code, text = await doctored.command(environment)
    assert code == 2
    assert "set one of NAMEPLATE_VAULT_ROLE_ID" in text


async def test_a_check_that_does_not_end_is_given_up() -> None:
    async with Silent.start() as silent:

        async def look() -> list[Finding]:
            async with httpx.AsyncClient(trust_env=False, timeout=None) as http:
                await http.get(silent.url)
            raise AssertionError("it answered")

        findings = await run.examine([Check("a silent one", look, 0.2)])
    assert one(findings, "check_took_too_long").mend.startswith("see what a silent one waits for")


@pytest.fixture
async def mail_server(state_dir: Path) -> AsyncIterator[tuple[int, Path]]:
    """A real SMTP server with STARTTLS, that takes the password `right`: its port, and whom to trust."""
    files = LocalhostTls.create(state_dir)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    files.key.unlink()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    def make() -> SMTP:
        return SMTP(object(), authenticator=authenticate, tls_context=context, hostname="mail.test")

    server = await asyncio.get_running_loop().create_server(make, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1], files.authority
    server.close()


@pytest.mark.parametrize(
    ("password", "trusted", "seen"),
    [
        ("right", True, "takes us in with our password"),
        ("hunter2", True, "it refuses us (535)"),
        ("right", False, "it cannot be used (unable to get local issuer certificate)"),
    ],
)
async def test_a_mail_server_that_takes_us_in_or_does_not(
    environment: Environment, mail_server: tuple[int, Path], password: str, trusted: bool, seen: str
) -> None:
    port, authority = mail_server
    environment |= {
        "NAMEPLATE_SMTP_URL": f"smtp://me:{password}@{LOOPBACK}:{port}",
        "NAMEPLATE_MAIL_FROM": "Us <a@platform.test>",
        **({"NAMEPLATE_SMTP_CA_FILE": str(authority)} if trusted else {}),
    }
    (finding,) = await doctored.control(environment, "mail server")
    assert finding.seen == seen
    assert finding.mend == ("" if seen.startswith("takes") else "check NAMEPLATE_SMTP_URL and …_SMTP_CA_FILE")
    assert "hunter2" not in str(finding)


async def test_a_mail_server_that_is_not_there_is_found(environment: Environment) -> None:
    environment |= {"NAMEPLATE_SMTP_URL": f"smtp://{LOOPBACK}:{free_port()}", "NAMEPLATE_MAIL_FROM": "a@platform.test"}
    assert one(await doctored.control(environment, "mail server"), "smtp_unusable").seen.startswith("it cannot be used")


async def test_beside_a_control_that_runs_its_address_is_its_own_and_its_pages_are_found(
    environment: Environment, tmp_path: Path
) -> None:
    url = f"http://{environment['NAMEPLATE_API_LISTEN']}"
    environment["NAMEPLATE_UI_URL"] = url

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    command = [sys.executable, "-m", "cli", "control"]
    process = await Process.start("control", command, log_path=tmp_path / "log", ready=ready, env=environment)
    try:
        findings = await doctored.control(environment, "pages", "address of the API")
    finally:
        await process.stop()
    assert [finding.seen for finding in findings] == [f"{url} answers", f"control answers at {url[7:]}"]


async def test_a_clock_that_is_wrong_is_found_against_everybody_s(environment: Environment) -> None:
    findings = await doctored.control(environment, "clock", now=lambda: time.time() - 90)
    assert {finding.code for finding in findings} == {"clock_off"}
    assert {finding.seen.split("'")[0] for finding in findings} >= {"PostgreSQL", "Vault"}
    assert all(re.search(r"is (89|90)\.\d s ahead", finding.seen) for finding in findings)
    findings = await doctored.control(environment, "clock", now=lambda: time.time() + 5)
    assert {finding.code for finding in findings} == {"clock_apart"}
    assert all(finding.level is Level.WARNING for finding in findings)
    assert findings[0].mend == "timedatectl set-ntp true"


async def test_an_address_that_another_program_has_is_found(environment: Environment) -> None:
    async with Silent.start() as silent:
        environment["NAMEPLATE_API_LISTEN"] = silent.url.removeprefix("http://")
        findings = await doctored.control(environment, "address of the API")
    assert "ss -ltnp" in one(findings, "port_taken").mend


async def test_a_resolver_that_makes_up_names_and_one_that_is_silent_are_found(
    environment: Environment, dns_server: DnsServer
) -> None:
    dns_server.add_zone("invalid")
    dns_server.add("*.invalid", "A", "192.0.2.66")
    try:
        environment["NAMEPLATE_DNS_RESOLVERS"] = f"{dns_server.address}, 127.0.0.1:1"
        findings = await doctored.control(environment, "DNS resolvers")
    finally:
        dns_server.remove_zone("invalid")
    assert "192.0.2.66" in one(findings, "resolver_rewrites").seen
    assert dns_server.address in one(findings, "resolver_rewrites").mend
    assert "127.0.0.1:1: Unreachable" in one(findings, "resolver_silent").seen


async def test_resolvers_that_disagree_and_a_target_that_nobody_knows_are_found(
    environment: Environment, dns_zone
) -> None:
    async with DnsServer.start() as other:
        other.add_zone(dns_zone.origin)
        other.add(f"custom.{dns_zone.origin}", "A", "192.0.2.7")
        other.add(f"*.custom.{dns_zone.origin}", "A", "192.0.2.7")
        environment["NAMEPLATE_DNS_RESOLVERS"] += f", {other.address}"
        findings = await doctored.control(environment, "DNS resolvers")
        assert one(findings, "resolvers_disagree").level is Level.WARNING
    dns_zone.remove("*.custom")
    environment["NAMEPLATE_DNS_RESOLVERS"] = environment["NAMEPLATE_DNS_RESOLVERS"].partition(",")[0]
    findings = await doctored.control(environment, "DNS resolvers")
    assert one(findings, "target_unknown").mend.startswith(f"make custom.{dns_zone.origin} and *.custom.")


async def test_pages_at_an_address_that_is_not_control_s_are_found(environment: Environment) -> None:
    environment["NAMEPLATE_UI_URL"] = f"http://{LOOPBACK}:{free_port()}"
    findings = await doctored.control(environment, "pages")
    assert one(findings, "ui_unreachable").level is Level.WARNING


async def test_cas_that_want_other_settings_are_found(
    environment: Environment, pebble: Pebble, state_dir: Path, tmp_path: Path
) -> None:
    del environment["NAMEPLATE_ACME_DIRECTORY_URL"], environment["NAMEPLATE_ACME_CA_FILE"]
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
        assert (await doctored.control(environment, "ACME directory"))[0].seen == "all 2 answer"
        file.write_text(f'{plain}\nprofile = "short"\neab = true')
        findings = await doctored.control(environment, "ACME directory", "Vault")
    unknown = one(findings, "ca_profile_unknown")
    assert unknown.seen == "front: no profile short, it offers: classic"
    assert unknown.mend == "check NAMEPLATE_ACME_CAS_FILE"
    missing = one(findings, "eab_missing")
    assert eab_path(front.directory_url) in missing.mend
    environment |= {"NAMEPLATE_ACME_DIRECTORY_URL": f"http://{LOOPBACK}:1/dir"}
    del environment["NAMEPLATE_ACME_CAS_FILE"]
    findings = await doctored.control(environment, "ACME directory")
    assert "check NAMEPLATE_ACME_DIRECTORY_URL" in one(findings, "ca_unreachable").mend


async def test_a_ca_that_wants_a_binding_that_is_not_configured_is_found(
    environment: Environment, state_dir: Path, dns_server: DnsServer, pebble_package: None
) -> None:
    async with Pebble.start(
        state_dir, dns_server=dns_server.address, http_port=free_port(), external_accounts={}
    ) as binding:
        environment["NAMEPLATE_ACME_DIRECTORY_URL"] = binding.directory_url
        environment["NAMEPLATE_ACME_CA_FILE"] = str(binding.ca_bundle)
        findings = await doctored.control(environment, "ACME directory")
    assert one(findings, "ca_wants_binding").mend.startswith("write eab = true")


async def test_the_zone_for_dns_01_is_written_to(environment: Environment, state_dir: Path, dns_packages: None) -> None:
    async with KnotZone.start(state_dir, "acme.platform.test", secondaries=1) as knot:
        environment |= {
            "NAMEPLATE_ACME_DNS_ZONE": knot.zone,
            "NAMEPLATE_ACME_DNS_SERVER": knot.primary.address,
            "NAMEPLATE_ACME_DNS_SERVERS": ", ".join(knot.addresses),
            "NAMEPLATE_ACME_DNS_TSIG_NAME": knot.key.name,
            "NAMEPLATE_ACME_DNS_TSIG_SECRET": knot.key.secret,
        }
        findings = await doctored.control(environment, "zone for DNS-01")
        assert findings[0].seen == "takes records, and its servers show them"
        environment["NAMEPLATE_ACME_DNS_TSIG_SECRET"] = knot.stranger.secret
        finding = one(await doctored.control(environment, "zone for DNS-01"), "zone_unwritable")
    assert "BADSIG" in finding.seen
    assert knot.stranger.secret not in finding.seen + finding.mend
