"""Domains and certificates as control leaves them, but written straight into PostgreSQL and Vault, many at once.

What control does one domain at a time with its audit, jobs and orders is not what is measured. In bulk the rows come
without their triggers (no change feed, no checks of foreign keys), unless a sidecar runs that must hear of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from bench.authority import Authority
from bench.names import PLATFORM, SUFFIX, WIDTH, hostname
from core import vault
from core.certificate import Certificate
from embedded.database import Database
from embedded.plain_http import plain_http
from embedded.vault_mount import VaultMount

DOMAINS_A_TENANT = 10
WRITES_AT_ONCE = 8
PATIENCE = 60.0
NOT_AFTER = datetime.now(UTC) + timedelta(days=60)

TENANTS = """
    INSERT INTO tenants (slug) SELECT 'tenant-' || n FROM generate_series($1::int, $2::int) n ON CONFLICT DO NOTHING
"""
# The fingerprint is of nothing: no handshake asks for these names.
DOMAINS = f"""
    WITH made AS (
        INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status,
                                    certificate_id, acme_label)
        SELECT t.id, 'd' || lpad(n::text, {WIDTH}, '0') || '{SUFFIX}', 'token', now(), 'active', 'issued',
               gen_random_uuid(), md5(n::text)
        FROM generate_series($1::int, $2::int) n JOIN tenants t ON t.slug = 'tenant-' || (n / {DOMAINS_A_TENANT})
        RETURNING id, certificate_id, hostname)
    INSERT INTO certificates (id, domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
                              directory_url)
    SELECT certificate_id, id, '0a', 'Bench CA', encode(sha256(hostname::bytea), 'hex'), now(), $3, 1,
           'https://ca.test/directory'
    FROM made
"""


async def add_names(database: Database, first: int, count: int, *, announced: bool = False) -> None:
    """Live domains numbered from `first` on; names and tenants as `bench.names` and DOMAINS_A_TENANT say.

    `announced`: with their triggers, for sidecars that run already.
    """
    connection = await asyncpg.connect(database.superuser_dsn, command_timeout=300)
    try:
        if not announced:
            await connection.execute("SET session_replication_role = replica")
        last = first + count - 1
        await connection.execute(TENANTS, first // DOMAINS_A_TENANT, last // DOMAINS_A_TENANT)
        await connection.execute(DOMAINS, first, last, NOT_AFTER)
        await connection.execute("ANALYZE tenants, custom_domains, certificates")
    finally:
        await connection.close()


async def add_served(database: Database, mount: VaultMount, authority: Authority, first: int, count: int) -> None:
    """Live domains with their certificates in Vault, numbered from `first` on."""
    names = [hostname(number) for number in range(first, first + count)]
    certificates = await asyncio.to_thread(lambda: [authority.issue(name) for name in names])
    domains = [uuid4() for _ in names]
    async with writer(mount) as write:
        paths = (vault.certificate_path(domain) for domain in domains)
        await asyncio.gather(*(write(path, made) for path, made in zip(paths, certificates, strict=True)))
    connection = await asyncpg.connect(database.control_dsn)
    try:
        async with connection.transaction():
            tenant = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ($1) ON CONFLICT (slug) DO UPDATE SET slug = $1 RETURNING id",
                "served",
            )
            await _insert(connection, tenant, domains, names, certificates)
    finally:
        await connection.close()


async def add_default_certificate(mount: VaultMount, authority: Authority) -> None:
    """The platform's own, which Envoy asks for as it starts."""
    async with writer(mount) as write:
        await write(vault.DEFAULT_CERTIFICATE, authority.issue(f"*.{PLATFORM}"))


@asynccontextmanager
async def writer(mount: VaultMount) -> AsyncIterator[Callable[[str, Certificate], Awaitable[int]]]:
    """`write(path, certificate)` returns the version in Vault; any number may be called at once."""
    turns = asyncio.Semaphore(WRITES_AT_ONCE)
    headers = {"X-Vault-Token": mount.openbao.root_token}
    async with plain_http(base_url=f"{mount.url}/v1/{mount.path}/data/", headers=headers, timeout=PATIENCE) as http:

        async def write(path: str, certificate: Certificate) -> int:
            async with turns:
                answer = await http.post(path, json={"data": certificate.to_vault()})
            answer.raise_for_status()
            return int(answer.json()["data"]["version"])

        yield write


async def _insert(
    connection: asyncpg.Connection[Any],
    tenant: UUID,
    domains: Sequence[UUID],
    names: Sequence[str],
    certificates: Sequence[Certificate],
) -> None:
    made = [uuid4() for _ in domains]
    await connection.executemany(
        "INSERT INTO custom_domains (id, tenant_id, hostname, verification_token, verify_deadline, status, ssl_status)"
        " VALUES ($1, $2, $3, 'token', now(), 'verified', 'validating')",
        [(domain, tenant, name) for domain, name in zip(domains, names, strict=True)],
    )
    await connection.executemany(
        "INSERT INTO certificates (id, domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,"
        " directory_url) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 'https://ca.test/directory')",
        [
            (number, domain, one.serial, one.issuer, one.fingerprint, one.not_before, one.not_after)
            for number, domain, one in zip(made, domains, certificates, strict=True)
        ],
    )
    await connection.executemany(
        "UPDATE custom_domains SET status = 'active', ssl_status = 'issued', certificate_id = $2 WHERE id = $1",
        list(zip(domains, made, strict=True)),
    )
