"""`nameplate doctor`: does everything that control needs answer as it should, and what mends what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID

import asyncpg
import dns.name
import httpx
from dns.rdatatype import RdataType
from rich.console import Console
from rich.markup import escape

from api.jwks import KeySetError, KeysUnavailable, KeyUrl, parse_key_set
from cli.complaint import explain_settings
from control.acme.directory import Directory
from control.certificates.dns01 import authoritative, updater
from control.db.away import AWAY
from control.db.migrate import MigrationError, applied, available, pending
from control.dns.outcome import Answer
from control.dns.resolver import resolvers
from control.dns.update import DnsUpdateError
from control.settings import ControlSettings
from control.vault import Vault, VaultError
from core.target import tenant_target
from core.vault import DEFAULT_CERTIFICATE, certificate_path, eab_path

NOBODY = UUID(int=0)
OLDEST_POSTGRESQL = 160000
PATIENCE = 5.0  # seconds for a resolver


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend`: the command or the setting; empty when all is well."""

    what: str
    seen: str
    mend: str = ""


Check = Callable[[ControlSettings], Awaitable[Finding]]


async def run() -> int:
    """Print a line a check. Return 1 when one found something to mend."""
    with explain_settings():
        settings = ControlSettings()  # type: ignore[call-arg]  # from the environment
    console = Console()
    findings = await asyncio.gather(*(check(settings) for check in CHECKS))
    for finding in findings:
        mark = "[bold red]✗[/]" if finding.mend else "[green]✓[/]"
        console.print(f"{mark} {finding.what}: {escape(finding.seen)}", soft_wrap=True)
        if finding.mend:
            console.print(f"    → {finding.mend}", markup=False, soft_wrap=True)
    return int(any(finding.mend for finding in findings))


async def database(settings: ControlSettings) -> Finding:
    """Reachable as the workers' role, new enough, migrated by this release."""
    what, migrate = "PostgreSQL, as the workers", "NAMEPLATE_OWNER_DATABASE_URL=… nameplate migrate"
    try:
        connection = await asyncpg.connect(settings.control_database_url.get_secret_value(), timeout=5)
    except AWAY as error:
        return Finding(
            what, str(error) or "no answer", "check NAMEPLATE_CONTROL_DATABASE_URL, and that the server runs"
        )
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        if version < OLDEST_POSTGRESQL:
            return Finding(what, f"version {version // 10000}", "use PostgreSQL 16 or newer")
        user, above = await connection.fetchrow(
            "SELECT current_user, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        if above:
            return Finding(what, f"{user} is above row level security", "connect as nameplate_control")
        missing = pending(await applied(connection), available())
    except asyncpg.InsufficientPrivilegeError as error:
        return Finding(what, str(error), "connect as nameplate_control")
    except (asyncpg.PostgresError, MigrationError) as error:
        return Finding(what, str(error), migrate)
    finally:
        await connection.close()
    return Finding(what, f"{len(missing)} migrations are missing", migrate) if missing else Finding(what, "migrated")


async def isolation(settings: ControlSettings) -> Finding:
    """The API's role sees nothing without a tenant."""
    what = "PostgreSQL, as the tenants' API"
    try:
        connection = await asyncpg.connect(settings.api_database_url.get_secret_value(), timeout=5)
    except AWAY as error:
        return Finding(what, str(error) or "no answer", "check NAMEPLATE_API_DATABASE_URL, and that the server runs")
    try:
        user = await connection.fetchval("SELECT current_user")
        if await connection.fetchval("SELECT count(*) FROM custom_domains") or user != "nameplate_api":
            return Finding(what, f"{user} sees every tenant's rows", "connect as nameplate_api")
    except asyncpg.InsufficientPrivilegeError as error:
        return Finding(what, str(error), "connect as nameplate_api")
    except asyncpg.PostgresError as error:
        return Finding(what, str(error), "NAMEPLATE_OWNER_DATABASE_URL=… nameplate migrate")
    finally:
        await connection.close()
    return Finding(what, "held to one tenant by row level security")


async def secrets(settings: ControlSettings) -> Finding:
    """The AppRole logs in and may read where certificates are; the platform's own certificate is there, and what the
    CAs want to know it by.
    """
    what = "Vault"
    vault = Vault.of(settings)
    try:
        await vault.read(certificate_path(NOBODY))
        default = await vault.read(DEFAULT_CERTIFICATE)
        unbound = [ca for ca in settings.cas if ca.eab and await vault.read(eab_path(ca.directory_url)) is None]
    except VaultError as error:
        policy = (
            "check NAMEPLATE_VAULT_ROLE_ID, …_SECRET_ID and …_MOUNT, and the AppRole's policy: "
            "nameplate vault-policy control | vault policy write nameplate-control -"
        )
        return Finding(
            what, str(error), policy if error.code == "vault_denied" else "check NAMEPLATE_VAULT_ADDR; unseal it"
        )
    except OSError as error:
        return Finding(what, str(error), "check NAMEPLATE_VAULT_SECRET_ID_FILE")
    finally:
        vault.close()
    if default is None:
        mend = f"vault kv put -mount={settings.vault_mount} {DEFAULT_CERTIFICATE} chain=@chain.pem key=@key.pem"
        return Finding(what, "the platform's own certificate is not there", mend)
    for ca in unbound:
        mend = f"vault kv put -mount={settings.vault_mount} {eab_path(ca.directory_url)} key_id=… hmac=@hmac.txt"
        return Finding(what, f"{ca.name}'s external account binding is not there", mend)
    return Finding(what, "logged in, platform certificate found")


async def token_keys(settings: ControlSettings) -> Finding:
    """Without them every request to the API is refused."""
    what = "keys of tenants' tokens"
    name = "NAMEPLATE_JWT_JWKS_URL" if settings.jwt_jwks_url else "NAMEPLATE_JWT_JWKS_FILE"
    try:
        if settings.jwt_jwks_url:
            source = KeyUrl(settings.jwt_jwks_url)
            try:
                keys = await source.keys()
            finally:
                await source.close()
        else:
            keys = parse_key_set((settings.jwt_jwks_file or Path()).read_bytes())
    except KeysUnavailable:
        return Finding(what, "none could be fetched", f"check {name}")
    except (OSError, ValueError, KeySetError) as error:
        return Finding(what, str(error), f"check {name}")
    return Finding(what, f"{len(keys)} found")


async def directory(settings: ControlSettings) -> Finding:
    """Each CA's directory can be read, and offers what the settings want of it."""
    what = "ACME directory"
    variable = "NAMEPLATE_ACME_CAS_FILE" if settings.acme_cas else "NAMEPLATE_ACME_DIRECTORY_URL"
    for ca in settings.cas:
        try:
            async with httpx.AsyncClient(verify=str(ca.ca_file) if ca.ca_file else True, trust_env=False) as client:
                answer = await client.get(ca.directory_url, timeout=10)
            found = Directory.from_json(answer.json()) if answer.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, OSError, ValueError) as error:
            seen = f"{ca.name}: {str(error) or type(error).__name__}"
            return Finding(what, seen, f"check {variable}, and the CA's ca_file")
        if found is None or "newOrder" not in found.urls:
            return Finding(what, f"{ca.name}: answered {answer.status_code}, no directory", f"check {variable}")
        if ca.profile is not None and ca.profile not in found.meta.profiles:
            listed = ", ".join(found.meta.profiles) or "none"
            return Finding(what, f"{ca.name}: no profile {ca.profile}, it offers: {listed}", f"check {variable}")
        if found.meta.external_account_required and not ca.eab:
            return Finding(
                what,
                f"{ca.name}: asks for an external account binding",
                "write eab = true into the file of NAMEPLATE_ACME_CAS_FILE; doctor says then where Vault wants it",
            )
    return Finding(what, "answers" if len(settings.cas) == 1 else f"all {len(settings.cas)} answer")


async def zone(settings: ControlSettings) -> Finding:
    """A record can be written into the zone for DNS-01, all its servers show it, and it can be removed."""
    what = "zone for DNS-01"
    if settings.acme_dns_zone is None:
        return Finding(what, "none, so there are no wildcards")
    name, value = f"nameplate-doctor.{settings.acme_dns_zone}", token_urlsafe(16)
    try:
        servers = authoritative(settings, resolvers(settings.dns_resolvers))
        changes = updater(settings)
        await changes.add(name, [value])
        try:
            await servers.wait(name, [value])
        finally:
            await changes.remove(name, [value])
    except DnsUpdateError as error:
        return Finding(what, error.message, "check NAMEPLATE_ACME_DNS_…, and the servers: see docs/dns-01.md")
    except ValueError as error:
        return Finding(what, str(error), "check NAMEPLATE_DNS_RESOLVERS")
    return Finding(what, "takes records, and its servers show them")


async def names(settings: ControlSettings) -> Finding:
    """Each resolver answers for the CNAME target, and for tenants' own targets below it."""
    what = "DNS resolvers"
    try:
        asked = resolvers(settings.dns_resolvers)
    except ValueError as error:
        return Finding(what, str(error), "check NAMEPLATE_DNS_RESOLVERS")
    targets = [dns.name.from_text(name) for name in (settings.target, tenant_target("t-nobody", settings.target))]
    answers = await asyncio.gather(
        *(resolver.ask(target, RdataType.A, PATIENCE) for target in targets for resolver in asked)
    )
    wrong = [f"{answer.resolver}: {type(answer).__name__}" for answer in answers if not isinstance(answer, Answer)]
    if wrong:
        mend = f"make {settings.target} and *.{settings.target} lead to your Envoys, or check the resolvers"
        return Finding(what, "; ".join(dict.fromkeys(wrong)), mend)
    return Finding(what, f"{settings.target} and the names below it are known to all {len(asked)}")


CHECKS: tuple[Check, ...] = (database, isolation, secrets, token_keys, directory, names, zone)
