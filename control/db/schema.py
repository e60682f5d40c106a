"""Is the schema as new as this release? Control that runs without a table or a function of its own would fail here and
there, at work that is under way; so it does not begin. A schema that is newer is as good: docs/upgrade.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from control.db.away import AWAY
from control.db.migrate import applied, available

PATIENCE = 5.0  # seconds

log = structlog.stdlib.get_logger(__name__)


async def is_outdated(pool: asyncpg.Pool[Any]) -> bool:
    """Whether migrations of this release have not been applied, which is logged. False when PostgreSQL does not say:
    control starts without it, and says 503."""
    try:
        async with asyncio.timeout(PATIENCE), pool.acquire() as connection:
            missing = await lacking(connection)
    except (*AWAY, ValueError):  # a file that the URL names cannot be used
        return False
    if missing:
        log.critical("schema_outdated", missing=missing, mend="run `nameplate migrate` of this release first")
    return bool(missing)


async def lacking(connection: asyncpg.Connection[Any]) -> Sequence[str]:
    """The migrations of this release that the database has not, as 0031_traces; all of them if it has none."""
    try:
        done = await applied(connection)
    except asyncpg.UndefinedTableError:
        done = {}
    return [f"{each.version:04}_{each.name}" for each in available() if each.version not in done]
