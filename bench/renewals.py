"""Renewed certificates of served domains: made and put into Vault first, so that only the change itself is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from bench.authority import Authority
from bench.names import hostname
from bench.rows import writer
from core import vault
from core.certificate import Certificate
from embedded.database import Database
from embedded.vault_mount import VaultMount

# As control.certificates.ledger stores it, without the order, the job and the limits.
STORE = """
    WITH stored AS (
        INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
                                  directory_url)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'https://ca.test/directory')
        RETURNING id)
    UPDATE custom_domains SET certificate_id = stored.id FROM stored WHERE custom_domains.id = $1
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """In Vault, and not yet in PostgreSQL."""

    hostname: str
    domain_id: UUID
    vault_version: int
    certificate: Certificate = field(repr=False)


async def prepare(database: Database, mount: VaultMount, authority: Authority, numbers: Sequence[int]) -> list[Renewal]:
    """One for each number, none twice; the domains are there (bench.rows.add_served)."""
    names = [hostname(number) for number in numbers]
    connection = await asyncpg.connect(database.control_dsn)
    try:
        rows = await connection.fetch(
            "SELECT hostname, id FROM custom_domains WHERE hostname = ANY($1) AND deleted_at IS NULL", names
        )
    finally:
        await connection.close()
    domains = {row["hostname"]: row["id"] for row in rows}
    certificates = await asyncio.to_thread(lambda: [authority.issue(name) for name in names])
    async with writer(mount) as write:
        versions = await asyncio.gather(
            *(
                write(vault.certificate_path(domains[name]), certificate)
                for name, certificate in zip(names, certificates, strict=True)
            )
        )
    return [
        Renewal(name, domains[name], version, certificate)
        for name, version, certificate in zip(names, versions, certificates, strict=True)
    ]


async def store(connection: asyncpg.Connection[Any], renewal: Renewal) -> None:
    """Committed: sidecars hear of it."""
    one = renewal.certificate
    await connection.execute(
        STORE,
        renewal.domain_id,
        one.serial,
        one.issuer,
        one.fingerprint,
        one.not_before,
        one.not_after,
        renewal.vault_version,
    )
