"""Sessions of the pages in PostgreSQL: `api.ui.sessions.Sessions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from api.auth import Operator, Principal
from api.ui.sessions import IDLE, LONGEST, Session
from control.domains.tenancy import Connection, Tenancy
from control.services.transactions import PLATFORM

NOTED = timedelta(minutes=1)  # a use is written down so often: a page is read more than once a minute

BEGIN = """INSERT INTO ui_sessions (token, ticket, tenant_id, subject, created_at, used_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (ticket) DO NOTHING RETURNING id, tenant_id, subject, expires_at"""
ALIVE = "ended_at IS NULL AND expires_at > $2 AND used_at > $3"
FIND = f"SELECT id, tenant_id, subject, expires_at, used_at FROM ui_sessions WHERE token = $1 AND {ALIVE}"  # noqa: S608
USE = "UPDATE ui_sessions SET used_at = $2 WHERE id = $1 AND used_at < $2"
LASTS = f"SELECT EXISTS (SELECT FROM ui_sessions WHERE id = $1 AND {ALIVE})"  # noqa: S608 -- a constant
END = "UPDATE ui_sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL"

NOBODY = Principal(PLATFORM, "pages")  # sessions are no tenant's rows


class StoredSessions:
    """`pool`: as the workers' role."""

    def __init__(self, pool: asyncpg.Pool[Any], now: Callable[[], datetime]) -> None:
        self._tenancy = Tenancy(pool)
        self._now = now

    async def begin(self, digest: bytes, ticket: bytes, who: Principal | Operator) -> Session | None:
        now = self._now()
        tenant_id = who.tenant_id if isinstance(who, Principal) else None

        async def work(connection: Connection) -> Session | None:
            row = await connection.fetchrow(BEGIN, digest, ticket, tenant_id, who.subject, now, now + LONGEST)
            return None if row is None else _session(row)

        return await self._tenancy.transact(NOBODY, work)

    async def find(self, digest: bytes, *, used: bool = True) -> Session | None:
        now = self._now()

        async def work(connection: Connection) -> Session | None:
            row = await connection.fetchrow(FIND, digest, now, now - IDLE)
            if row is None:
                return None
            if used and now - row["used_at"] >= NOTED:
                await connection.execute(USE, row["id"], now)
            return _session(row)

        return await self._tenancy.transact(NOBODY, work)

    async def lasts(self, session_id: UUID) -> bool:
        now = self._now()

        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(LASTS, session_id, now, now - IDLE))

        return await self._tenancy.transact(NOBODY, work)

    async def end(self, session_id: UUID) -> None:
        now = self._now()

        async def work(connection: Connection) -> None:
            await connection.execute(END, session_id, now)

        await self._tenancy.transact(NOBODY, work)


def _session(row: Mapping[str, Any]) -> Session:
    tenant_id = row["tenant_id"]
    who = Operator(row["subject"]) if tenant_id is None else Principal(tenant_id, row["subject"])
    return Session(row["id"], who, row["expires_at"])
