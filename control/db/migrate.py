"""Migrations: the .sql files beside this one, in order, each once, under a lock, with checksums.

Each is a transaction of its own: what it locks is free as soon as it is done, and no file waits for a table while it
keeps others from those of the file before. The release before works meanwhile, in transactions that take these tables
in their own order: whichever of the two PostgreSQL ends, a migration is tried again. Indexes of tables that are large
are built beside that transaction: see control.db.online.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import asyncpg

from control.db import online
from control.db.brief import TAKEN
from core.database import Access
from core.errors import NameplateError

# Any constants will do; they must only be ours. Held for the transaction, so a killed migration frees them.
TURN = 0x6E616D657475726E
# What 0.1 takes turns by, waiting in a transaction: so it is not held while an index is built.
LOCK = 0x6E616D65706C6174
# All who come after one that waits for a table wait too: so it waits for a moment, and lets them pass before the next.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '3s'"
CONNECTING = 60.0  # seconds
TRIES = 20  # of a file
PAUSE = 1.0  # seconds between two of them
# PostgreSQL goes on with an index when its client was killed.
IS_FREE = """SELECT pg_try_advisory_xact_lock($1)
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE datname = current_database())"""
LOOK_AGAIN = 0.25  # seconds between two looks whether it is
# For as long as an index is built. Besides, it ends what is left of the statement before: asyncpg keeps a result open,
# and with it a snapshot, for which the build would wait for ever.
STAY = "SET LOCAL idle_in_transaction_session_timeout = 0"
FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
# What was applied before the first release that has it. 0030: with the indexes that 0032 builds.
FORMER = {30: "b2e4a5809533408c5f7939247dd622fb0387c24c1c4768bfca75ca6a10b76207"}


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


async def migrate(address: Access | str, tell: Callable[[Migration], None] | None = None) -> Sequence[Migration]:
    """Bring the database up to date; return what was applied, and `tell` each at once.

    Raises MigrationError, and asyncpg's errors. `address`: as a role that may create roles and own the tables. A file
    that fails changes nothing, but for indexes that were built online; those before it stay.
    """
    done = []
    async with _connected(address) as connection:
        while (migration := await _patiently(connection, address)) is not None:
            done.append(migration)
            if tell is not None:
                tell(migration)
    return done


@asynccontextmanager
async def _connected(address: Access | str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Nothing outlives a transaction and no statement has a name, so it may go through a pooler."""
    connection = await replace(Access.of(address), pooled=True).connect(CONNECTING)
    try:
        yield connection
    finally:
        await connection.close()


async def _patiently(connection: asyncpg.Connection[Any], address: Access | str) -> Migration | None:
    """`_next`, tried again as long as others are in its way."""
    for _ in range(TRIES - 1):
        try:
            return await _next(connection, address)
        except TAKEN:
            await asyncio.sleep(PAUSE)
    return await _next(connection, address)


async def _next(connection: asyncpg.Connection[Any], address: Access | str) -> Migration | None:
    """Apply the first that is missing. None: none is."""
    async with _alone(connection):
        migration = await _next_online(connection)
        if migration is not None:
            await connection.execute(STAY)
            async with _connected(address) as building:
                await online.build(building, migration.sql)
        else:
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


async def _next_online(connection: asyncpg.Connection[Any]) -> Migration | None:
    """The first that is missing, if it is one of those. What is before it is not of 0.1, which thus does nothing."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return None
    first = pending(await applied(connection), available())[:1]
    return next((migration for migration in first if online.is_online(migration.sql)), None)


@asynccontextmanager
async def _alone(connection: asyncpg.Connection[Any]) -> AsyncIterator[None]:
    """A transaction in which no other migrates. Who waits has none meanwhile: a build would wait for it in turn.

    Read committed, whatever the server's default is: the snapshot of any other lasts as long as the transaction.
    """
    while True:
        async with connection.transaction(isolation="read_committed"):
            if await connection.fetchval(IS_FREE, TURN):
                yield
                return
        await asyncio.sleep(LOOK_AGAIN)


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
        if checksum not in (by_version[version].checksum, FORMER.get(version)):
            raise MigrationError("migration_changed", f"Migration {version:04} was applied with other contents.")
    return [migration for migration in files if migration.version not in done]
