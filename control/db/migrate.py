"""Migrations: the .sql files beside this one, in order, each once, in one transaction, under a lock, with checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import asyncpg

from core.errors import NameplateError

# Any constant will do; it must only be ours. Held for the transaction, so a killed migration frees it.
LOCK = 0x6E616D65706C6174
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


async def migrate(dsn: str) -> Sequence[Migration]:
    """Bring the database up to date; return what was applied. Raises MigrationError, and asyncpg's errors.

    `dsn`: as a role that may create roles and own the tables. All or nothing: a failing file changes nothing.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await connection.execute(
                """CREATE TABLE IF NOT EXISTS schema_migrations (
                       version INT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
                       applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"""
            )
            waiting = pending(await applied(connection), available())
            for migration in waiting:
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
        return waiting
    finally:
        await connection.close()


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
