"""What workers have to tell the platform's admin of CAs. Every replica finds out for itself; the admin is told once."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from control.db.away import AWAY

OUT, BACK = "ca.out", "ca.back"
LOCK = 0x6E616D6563616F75

# Only where it changes what was said last: out after back (or nothing), back after out.
TELL = """INSERT INTO outbox (event, payload) SELECT $1, $2::jsonb WHERE $1 <> coalesce(
    (SELECT event FROM outbox WHERE event IN ('ca.out', 'ca.back') AND payload->>'ca' = $3 ORDER BY id DESC LIMIT 1),
    'ca.back')"""

log = structlog.get_logger(__name__)


class CaAlerts:
    """Synchronous, and quick: what it writes, it writes in a task of its own. What PostgreSQL misses is not told."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def out(self, ca: str, until: datetime) -> None:
        self._start(OUT, {"ca": ca, "until": until.isoformat(timespec="seconds")})

    def back(self, ca: str) -> None:
        self._start(BACK, {"ca": ca})

    def _start(self, event: str, facts: dict[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(event, facts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, event: str, facts: dict[str, str]) -> None:
        try:
            async with self._turn, self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await connection.execute(TELL, event, json.dumps(facts), facts["ca"])
        except AWAY as error:
            log.warning("alert_not_told", notification=event, error=type(error).__name__)
