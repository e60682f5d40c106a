"""Sessions of the pages in PostgreSQL: `api.ui.sessions.Sessions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from api.auth import Operator, Principal
from api.ui.links import Ticket
from api.ui.refusals import Refused
from api.ui.sessions import IDLE, LONGEST, Session, tenant_of
from control.domains.tenancy import Connection, Tenancy
from control.services.transactions import PLATFORM, audit

NOTED = timedelta(minutes=1)  # a use is written down so often: a page is read more than once a minute
SKEW = timedelta(seconds=5)  # between the clocks of two replicas

# Whoever ends all sessions of somebody waits for those that begin, and they for him.
BEGINS = "SELECT pg_advisory_xact_lock_shared(hashtextextended('nameplate ui_sessions', 0))"
ENDS = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate ui_sessions', 0))"
OF = "tenant_id IS NOT DISTINCT FROM $1 AND subject = $2"
ENDED = f"SELECT EXISTS (SELECT FROM ui_endings WHERE {OF} AND at >= $3)"  # noqa: S608 -- a constant
END_LINKS = "INSERT INTO ui_endings (tenant_id, subject, at) VALUES ($1, $2, $3)"

BEGIN = """INSERT INTO ui_sessions (token, ticket, tenant_id, subject, created_at, used_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (ticket) DO NOTHING RETURNING id, tenant_id, subject, expires_at"""
ALIVE = "ended_at IS NULL AND expires_at > $2 AND used_at > $3"
FIND = f"SELECT id, tenant_id, subject, expires_at, used_at FROM ui_sessions WHERE token = $1 AND {ALIVE}"  # noqa: S608
USE = "UPDATE ui_sessions SET used_at = $2 WHERE id = $1 AND used_at < $2"
LASTS = f"SELECT EXISTS (SELECT FROM ui_sessions WHERE id = $1 AND {ALIVE})"  # noqa: S608 -- a constant
END = "UPDATE ui_sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL"
END_ALL = f"""UPDATE ui_sessions SET ended_at = $3 WHERE {OF} AND ended_at IS NULL
    RETURNING expires_at > $3 AND used_at > $4 AS open"""  # noqa: S608 -- a constant

NOBODY = Principal(PLATFORM, "pages")  # sessions are no tenant's rows


class StoredSessions:
    """`pool`: as the workers' role."""

    def __init__(self, pool: asyncpg.Pool[Any], now: Callable[[], datetime]) -> None:
        self._tenancy = Tenancy(pool)
        self._now = now

    async def begin(self, digest: bytes, ticket: Ticket) -> Session | None:
        now, who = self._now(), ticket.who
        of = (tenant_of(who), who.subject)

        async def work(connection: Connection) -> Session | None:
            await connection.execute(BEGINS)
            if await connection.fetchval(ENDED, *of, ticket.made_at - SKEW):
                raise Refused("ticket_ended")
            row = await connection.fetchrow(BEGIN, digest, ticket.digest, *of, now, now + LONGEST)
            if row is not None and isinstance(who, Operator):
                await audit(connection, who, "session_begin", {"session": row["id"]})
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

    async def end_all(self, caller: Principal | Operator, subject: str) -> int:
        now = self._now()
        of = (tenant_of(caller), subject)

        async def work(connection: Connection) -> int:
            await connection.execute(ENDS)
            await connection.execute(END_LINKS, *of, now)
            ended: int = sum(row["open"] for row in await connection.fetch(END_ALL, *of, now, now - IDLE))
            if isinstance(caller, Operator):
                await audit(connection, caller, "session_end_all", {"subject": subject, "sessions": ended})
            return ended

        return await self._tenancy.transact(NOBODY, work)


def _session(row: Mapping[str, Any]) -> Session:
    tenant_id = row["tenant_id"]
    who = Operator(row["subject"]) if tenant_id is None else Principal(tenant_id, row["subject"])
    return Session(row["id"], who, row["expires_at"])
