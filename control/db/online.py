"""Indexes that are built while others write: statement by statement, outside a transaction.

A build waits for each transaction that is open, and keeps none waiting. One that was cut off leaves an index that is
not valid, which is dropped and built anew.
Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import asyncpg

BUILDS = re.compile(r"CREATE INDEX CONCURRENTLY IF NOT EXISTS (?P<index>\w+) ON ")
COMMENT = re.compile(r"--.*")

IS_LEFT_OVER = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)"


def is_online(sql: str) -> bool:
    """Whether it has to be run so; PostgreSQL refuses it in a transaction."""
    return BUILDS.search(sql) is not None


def statements(sql: str) -> Sequence[str]:
    """One by one, without comments. No semicolon and no -- stands in a literal of such a file."""
    return [text for part in COMMENT.sub("", sql).split(";") if (text := part.strip())]


async def build(connection: asyncpg.Connection[Any], sql: str) -> None:
    """Run it, passing over what is there. The connection is in no transaction. Raises asyncpg's errors."""
    for statement in statements(sql):
        match = BUILDS.match(statement)
        if match and await connection.fetchval(IS_LEFT_OVER, match["index"]):
            await connection.execute(f"DROP INDEX CONCURRENTLY {match['index']}")
        await connection.execute(statement)
