"""Whether requests for a name come to the platform although its addresses are somebody else's: it is behind a proxy.

A token is published to the sidecars for a moment, as for a CA's HTTP-01, and asked for at the name's own addresses
(control.preflight.probe: public ones only).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import asyncpg

from control.preflight.port80 import chosen
from control.preflight.probe import Prober, ProbeToken
from core.domain import Domain

LIFETIME = timedelta(minutes=1)  # longer than any probe takes

PUBLISH = """INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
    VALUES ($1, $2, $3, now() + $4) RETURNING pg_current_xact_id()::text::bigint"""
FORGET = "DELETE FROM challenges WHERE token = $1"


class Reach:
    """`published`: waits, not for long, until the sidecars know of a transaction."""

    def __init__(self, pool: asyncpg.Pool[Any], prober: Prober, published: Callable[[int], Awaitable[object]]) -> None:
        self._pool = pool
        self._prober = prober
        self._published = published

    async def __call__(self, domain: Domain, addresses: frozenset[str]) -> bool:
        """Raises what PostgreSQL raises."""
        token = ProbeToken.random()
        xid = await self._pool.fetchval(PUBLISH, token.token, domain.id, token.key_authorization, LIFETIME)
        try:
            await self._published(xid)
            tried = chosen([ip_address(address) for address in addresses])
            probes = await asyncio.gather(*(self._prober.probe(address, domain.hostname, token) for address in tried))
        finally:
            await self._pool.execute(FORGET, token.token)
        return any(probe.result == "answered" for probe in probes)
