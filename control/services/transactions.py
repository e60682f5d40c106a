"""Transactions of the operator, as the workers' role, and what the audit keeps of them.

Changes take turns: what a change has looked at, to refuse or allow it, still holds when it commits. The audit's rows
are a chain of their own, of the tenant PLATFORM, which no tenant is: tenants are not shown the platform's inside.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from api.admin.upstreams import LimitReached
from api.auth import Operator, Principal
from control.domains.tenancy import Connection, Tenancy

PLATFORM = UUID(int=0)
TURN = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate platform', 0))"
AUDIT = "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail) VALUES ($1, $2, $3, $4, $5, $6)"

T = TypeVar("T")


class Transactions:
    """`pool`: of connections as nameplate_control."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._tenancy = Tenancy(pool)

    async def read(self, caller: Operator, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Raises Unavailable."""
        return await self._tenancy.transact(Principal(PLATFORM, caller.subject), work)

    async def change(self, caller: Operator, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The same when it is its turn. Raises Unavailable."""

        async def in_turn(connection: Connection) -> T:
            await connection.execute(TURN)
            return await work(connection)

        return await self.read(caller, in_turn)


async def audit(
    connection: Connection,
    caller: Operator,
    action: str,
    detail: Mapping[str, Any],
    domain_id: UUID = PLATFORM,
    hostname: str = "",
) -> None:
    """The audit row of a change, in its transaction."""
    actor = f"operator:{caller.subject}"
    await connection.execute(AUDIT, PLATFORM, domain_id, hostname, actor, action, json.dumps(dict(detail), default=str))


async def check_limit(connection: Connection, count: str, limit: int) -> None:
    """`count`: the query of how many there are. Raises LimitReached."""
    if await connection.fetchval(count) >= limit:
        raise LimitReached(limit)
