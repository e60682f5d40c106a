"""Rows for the directory, written as control writes them, and a running directory that follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from embedded.database import Database
from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Entry
from sidecar.directory.service import DirectoryService

PLATFORM = "platform.test"
SIDECAR = "sidecar-under-test"
NOT_AFTER = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


class Rows:
    """Writes rows on one connection of the workers' role; inside a transaction of the caller if there is one."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection

    async def tenant(self, slug: str) -> UUID:
        tenant: UUID = await self.connection.fetchval("INSERT INTO tenants (slug) VALUES ($1) RETURNING id", slug)
        return tenant

    async def any_tenant(self) -> UUID:
        tenant: UUID = await self.connection.fetchval(
            "INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id"
        )
        return tenant

    async def domain(self, hostname: str, status: str = "active", tenant: UUID | None = None) -> UUID:
        domain: UUID = await self.connection.fetchval(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
               VALUES ($1, $2, 'token', now() + interval '72 hours', $3) RETURNING id""",
            tenant or await self.any_tenant(),
            hostname,
            status,
        )
        return domain

    async def domains(self, hostnames: Iterable[str], tenant: UUID | None = None) -> None:
        await self.connection.execute(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
               SELECT $1, hostname, 'token', now() + interval '72 hours', 'active' FROM unnest($2::text[]) hostname""",
            tenant or await self.any_tenant(),
            list(hostnames),
        )

    async def status(self, hostname: str, status: str) -> None:
        await self.connection.execute(
            "UPDATE custom_domains SET status = $2 WHERE hostname = $1 AND deleted_at IS NULL", hostname, status
        )

    async def delete(self, hostname: str) -> None:
        await self.connection.execute(
            "UPDATE custom_domains SET deleted_at = now() WHERE hostname = $1 AND deleted_at IS NULL", hostname
        )

    async def certificate(self, hostname: str, fingerprint: str, vault_version: int = 1) -> None:
        await self.connection.execute(
            """WITH made AS (
                   INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                                             vault_version, directory_url)
                   SELECT id, '0a', 'CN=test', $2, now(), $3, $4, 'https://ca.test/directory'
                   FROM custom_domains WHERE hostname = $1 AND deleted_at IS NULL RETURNING id, domain_id)
               UPDATE custom_domains d SET certificate_id = made.id FROM made WHERE d.id = made.domain_id""",
            hostname,
            fingerprint,
            NOT_AFTER,
            vault_version,
        )

    async def upload(self, hostname: str, fingerprint: str, vault_version: int = 1) -> None:
        await self.connection.execute(
            """WITH made AS (
                   INSERT INTO uploads (domain_id, serial, issuer, fingerprint, not_before, not_after, names,
                                        vault_version)
                   SELECT id, '0b', 'CN=own', $2, now(), $3, '{}', $4
                   FROM custom_domains WHERE hostname = $1 AND deleted_at IS NULL RETURNING id, domain_id)
               UPDATE custom_domains d SET upload_id = made.id FROM made WHERE d.id = made.domain_id""",
            hostname,
            fingerprint,
            NOT_AFTER,
            vault_version,
        )

    async def withdraw(self, hostname: str) -> None:
        await self.connection.execute(
            """WITH d AS (UPDATE custom_domains SET upload_id = NULL WHERE hostname = $1 RETURNING id)
               UPDATE uploads SET ended_at = now(), ended_by = 'withdrawn' FROM d WHERE domain_id = d.id""",
            hostname,
        )

    async def challenge(self, hostname: str, token: str, lifetime: timedelta = timedelta(minutes=10)) -> str:
        """The key authorization that was stored for the token."""
        await self.connection.execute(
            """INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
               SELECT $2, id, $2 || '.thumbprint', now() + $3 FROM custom_domains
               WHERE hostname = $1 AND deleted_at IS NULL""",
            hostname,
            token,
            lifetime,
        )
        return f"{token}.thumbprint"

    async def feed_xid(self) -> int:
        """The transaction of the newest change."""
        xid: int = await self.connection.fetchval("SELECT max(xid::text::bigint) FROM changes")
        return xid


@asynccontextmanager
async def rows_of(database: Database) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database.control_dsn)
    try:
        yield Rows(connection)
    finally:
        await connection.close()


async def live_names(database: Database) -> dict[str, Entry]:
    """What a complete directory must hold, from the tables themselves."""
    connection = await asyncpg.connect(database.superuser_dsn)
    try:
        domains = await connection.fetch(
            """SELECT d.hostname, d.tenant_id, d.id, d.status, d.upload_id,
                   coalesce(u.fingerprint, c.fingerprint) AS fingerprint,
                   coalesce(u.vault_version, c.vault_version) AS vault_version,
                   coalesce(u.not_after, c.not_after) AS not_after,
                   EXISTS (SELECT FROM client_auth a WHERE a.domain_id = d.id) AS client_auth
               FROM custom_domains d LEFT JOIN certificates c ON c.id = d.certificate_id
                   LEFT JOIN uploads u ON u.id = d.upload_id
               WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active')"""
        )
        tenants = await connection.fetch("SELECT slug, id FROM tenants")
    finally:
        await connection.close()
    entries = [
        Entry(
            hostname=row["hostname"],
            tenant_id=str(row["tenant_id"]),
            domain_id=str(row["id"]),
            live=row["status"] == "active" or row["fingerprint"] is not None,
            fingerprint=row["fingerprint"],
            vault_version=row["vault_version"],
            not_after=row["not_after"].timestamp() if row["not_after"] else None,
            platform=False,
            uploaded=row["upload_id"] is not None,
            client_auth=row["client_auth"],
        )
        for row in domains
    ]
    entries += [
        Entry(f"{row['slug']}.{PLATFORM}", str(row["id"]), "", True, None, None, None, platform=True) for row in tenants
    ]
    return {entry.hostname: entry for entry in entries}


class Running:
    """A running directory, and what its consumers were told."""

    def __init__(self, service: DirectoryService, task: asyncio.Task[None]) -> None:
        self.service = service
        self.directory = service.directory
        self.feed = service.feed
        self.task = task
        self.announced: list[frozenset[str]] = []
        # What a consumer that looks up the names it is told of, and nothing else, believes.
        self.believed: dict[str, Entry] = {}
        service.feed.subscribe(self._on_change)
        # Ended registrations, in the order in which they were told.
        self.ended: list[Mapping[str, float]] = []
        service.feed.subscribe_ended(self.ended.append)

    def _on_change(self, hostnames: frozenset[str]) -> None:
        self.announced.append(hostnames)
        if ANY_NAME in hostnames:
            self.believed = self.held()
        for hostname in hostnames - {ANY_NAME}:
            entry = self.directory.peek(hostname)
            if entry is None:
                self.believed.pop(hostname, None)
            else:
                self.believed[hostname] = entry

    def held(self) -> dict[str, Entry]:
        return {entry.hostname: entry for entry in self.directory.rows()}

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def running(
    dsn: str,
    state_dir: Path,
    *,
    capacity: int = 100_000,
    misses_per_second: float = 1000,
    sidecar: str = SIDECAR,
) -> AsyncIterator[Running]:
    """A directory that follows the database; it may not have read anything yet."""
    service = DirectoryService(dsn, PLATFORM, sidecar, state_dir, capacity, misses_per_second)
    started = Running(service, asyncio.create_task(service.run()))
    try:
        yield started
    finally:
        await started.stop()


class Schedule:
    """Transactions of several connections, interleaved as one list of steps says."""

    def __init__(self, writers: list[Rows]) -> None:
        self._writers = writers
        self._open: dict[int, Any] = {}

    async def begin(self, writer: int) -> None:
        """Open a transaction that takes its id at once."""
        if writer not in self._open:
            transaction = self._writers[writer].connection.transaction()
            await transaction.start()
            await self._writers[writer].connection.execute("SELECT pg_current_xact_id()")
            self._open[writer] = transaction

    async def end(self, writer: int, *, commit: bool) -> None:
        transaction = self._open.pop(writer, None)
        if transaction is not None:
            await (transaction.commit() if commit else transaction.rollback())

    async def end_all(self) -> None:
        for writer in list(self._open):
            await self.end(writer, commit=True)
