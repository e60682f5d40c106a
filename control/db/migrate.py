"""Migrations: the .sql files beside this one, in order, each once, under a lock, with checksums.

Each is a transaction of its own: what it locks is free as soon as it is done, and no file waits for a table while it
keeps others from those of the file before. The release before works meanwhile, in transactions that take these tables
in their own order: whichever of the two PostgreSQL ends, a migration is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import asyncpg

from core.database import Access
from core.errors import NameplateError

# Any constant will do; it must only be ours. Held for the transaction, so a killed migration frees it.
LOCK = 0x6E616D65706C6174
# All who come after one that waits for a table wait too: so it waits for a moment, and lets them pass before the next.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '3s'"
TAKEN = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
TRIES = 20  # of a file
PAUSE = 1.0  # seconds between two of them
FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


class MigrationError(NameplateError):
    """Codes: migration_changed (an applied file is not what it was), migration_missing (the database is newer)."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str = field(repr=False)

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def available() -> Sequence[Migration]:
    """The files, oldest first."""
    found = []
    for file in resources.files("control.db").joinpath("migrations").iterdir():
        if match := FILE_NAME.fullmatch(file.name):
            found.append(Migration(int(match["version"]), match["name"], file.read_text()))
    return sorted(found, key=lambda migration: migration.version)


async def migrate(address: Access | str) -> Sequence[Migration]:
    """Bring the database up to date; return what was applied. Raises MigrationError, and asyncpg's errors.

    `address`: as a role that may create roles and own the tables. A failing file changes nothing; those before it stay.
    """
    # Nothing outlives a transaction and no statement has a name, so it may go through a pooler.
    connection = await asyncpg.connect(**{**Access.of(address).options(), "statement_cache_size": 0})
    done = []
    try:
        while (migration := await _patiently(connection)) is not None:
            done.append(migration)
        return done
    finally:
        await connection.close()


async def _patiently(connection: asyncpg.Connection[Any]) -> Migration | None:
    """`_next`, tried again as long as others are in its way."""
    for _ in range(TRIES - 1):
        try:
            return await _next(connection)
        except TAKEN:
            await asyncio.sleep(PAUSE)
    return await _next(connection)


async def _next(connection: asyncpg.Connection[Any]) -> Migration | None:
    """Apply the first that is missing. None: none is."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(LOCK_TIMEOUT)
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS schema_migrations (
                   version INT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
                   applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"""
        )
        waiting = pending(await applied(connection), available())
        if not waiting:
            return None
        migration = waiting[0]
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )
        return migration


async def applied(connection: asyncpg.Connection[Any]) -> dict[int, str]:
    """Checksums by version. Raises asyncpg.UndefinedTableError for a database that was never migrated."""
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def pending(done: dict[int, str], files: Sequence[Migration]) -> Sequence[Migration]:
    """The files still to apply. Raises MigrationError when those applied are not these."""
    by_version = {migration.version: migration for migration in files}
    for version, checksum in done.items():
        if version not in by_version:
            raise MigrationError("migration_missing", f"The database has migration {version:04}, this release has not.")
        if by_version[version].checksum != checksum:
            raise MigrationError("migration_changed", f"Migration {version:04} was applied with other contents.")
    return [migration for migration in files if migration.version not in done]
