"""Tokens of our own, which every sidecar answers as it answers a CA's: what comes back says who is behind a name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from control.preflight.probe import ProbeToken

# By PostgreSQL's clock, as its views compare. Longer than any examination; what a killed process leaves goes with it.
LIFETIME = "2 minutes"


class ProbeTokens:
    """`pool`: as nameplate_control."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def published(self, domain_id: UUID) -> AsyncIterator[ProbeToken]:
        """A token that is answered until the block ends. Sidecars that have not heard of it ask PostgreSQL.

        Raises what PostgreSQL raises.
        """
        token = ProbeToken.random()
        await self._pool.execute(
            f"""INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
                VALUES ($1, $2, $3, now() + interval '{LIFETIME}')""",  # noqa: S608 -- a constant
            token.token,
            domain_id,
            token.key_authorization,
        )
        try:
            yield token
        finally:
            await self._pool.execute("DELETE FROM challenges WHERE token = $1", token.token)
