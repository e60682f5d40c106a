"""Connections to PostgreSQL: one for the feed, and a small pool for the names and tokens that are not in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from core.database import Access, trouble
from core.hearing import Deaf, check_hearing
from sidecar.directory.entry import PlatformDomain
from sidecar.directory.reader import DEADLINE, Reader, Statements

# What PostgreSQL being away looks like. TimeoutError is an OSError.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Loads are rare and take about a millisecond; more connections would only help a flood.
POOL_SIZE = 4
SETTING = "NAMEPLATE_SIDECAR_LISTEN_DATABASE_URL"
APPLICATION = "nameplate-sidecar"
# The server notices within a minute that a sidecar's host is gone, rather than after the two hours of Linux.
# The other direction needs no keepalive: the feed asks the server something every few seconds, with a deadline.
SERVER_SETTINGS = {
    "application_name": APPLICATION,
    # A plan made for any position would read all changes that are kept to find the few new ones.
    "plan_cache_mode": "force_custom_plan",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class AddressUnusable(ConnectionError):
    """The connection string is wrong, or what answers there has no certificate that is trusted."""


class Postgres:
    """`address`: of the role nameplate_sidecar; `listen`: the same without a pooler, for connections of one's own."""

    def __init__(self, address: Access | str, platform: PlatformDomain, listen: Access | None = None) -> None:
        self.statements = Statements()
        self._access = Access.of(address)
        self._listen = listen or self._access
        self._platform = platform
        self._pool: asyncpg.Pool[Any] | None = None

    async def connect(self) -> asyncpg.Connection[Any]:
        """A connection of one's own, to be terminated by the caller. Raises one of AWAY."""
        return await _connect(**_settled(self._listen))

    async def check_hearing(self, connection: asyncpg.Connection[Any]) -> None:
        """Raises core.hearing.Deaf for one on which LISTEN cannot work, and one of AWAY."""
        await check_hearing(connection, self._listen, SETTING, DEADLINE)

    def reader(self, connection: asyncpg.Connection[Any]) -> Reader:
        return Reader(connection, self._platform, self.statements)

    @asynccontextmanager
    async def pooled(self) -> AsyncIterator[Reader]:
        """A reader on a connection of the pool. Raises one of AWAY."""
        if self._pool is None:
            # Not connected to anything until it is used; `reset` would cost a statement a load.
            self._pool = asyncpg.create_pool(
                **_settled(self._access), min_size=0, max_size=POOL_SIZE, connect=_connect, reset=_leave_as_it_is
            )
        pool = await self._pool  # does nothing the second time
        connection = await pool.acquire(timeout=DEADLINE)
        try:
            yield self.reader(connection)
        except BaseException:
            # Giving it back would wait for the server to say that it has stopped the statement.
            connection.terminate()
            raise
        finally:
            await pool.release(connection)

    def close(self) -> None:
        """Ends the pool's connections at once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


def _settled(access: Access) -> dict[str, Any]:
    """A pooler takes the name only, and it is the pooler whom PostgreSQL would keep alive; plans are custom without a
    statement's name."""
    settings = {"application_name": APPLICATION} if access.pooled else SERVER_SETTINGS
    return {**access.options(), "server_settings": settings}


async def _connect(*arguments: Any, **options: Any) -> asyncpg.Connection[Any]:
    """Raises one of AWAY, whose text holds no part of the address."""
    try:
        return await asyncpg.connect(*arguments, timeout=DEADLINE, command_timeout=DEADLINE, **options)
    except ValueError as error:  # SSLCertVerificationError is one too
        raise AddressUnusable(trouble(error)) from None
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" in str(error):  # PgBouncer knows but a few; in session mode it is to ignore the others
            raise Deaf(SETTING) from None
        raise


async def _leave_as_it_is(_connection: object) -> None:
    """A load changes nothing of its session."""
