"""Connections to PostgreSQL: one for the feed, and a small pool for the names and tokens that are not in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sidecar.directory.entry import PlatformDomain
from sidecar.directory.reader import DEADLINE, Reader, Statements

# What PostgreSQL being away looks like. TimeoutError is an OSError.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Loads are rare and take about a millisecond; more connections would only help a flood.
POOL_SIZE = 4
# The server notices within a minute that a sidecar's host is gone, rather than after the two hours of Linux.
# The other direction needs no keepalive: the feed asks the server something every few seconds, with a deadline.
SERVER_SETTINGS = {
    "application_name": "nameplate-sidecar",
    # A plan made for any position would read all changes that are kept to find the few new ones.
    "plan_cache_mode": "force_custom_plan",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class AddressUnusable(ConnectionError):
    """The connection string is wrong. asyncpg's own words could repeat a password that is in it."""


class Postgres:
    """`dsn`: of the role nameplate_sidecar; it may hold a password, so it is neither logged nor shown."""

    def __init__(self, dsn: str, platform: PlatformDomain) -> None:
        self.statements = Statements()
        self._dsn = dsn
        self._platform = platform
        self._pool: asyncpg.Pool[Any] | None = None

    async def connect(self) -> asyncpg.Connection[Any]:
        """A connection of one's own, to be terminated by the caller. Raises one of AWAY."""
        return await _connect(self._dsn)

    def reader(self, connection: asyncpg.Connection[Any]) -> Reader:
        return Reader(connection, self._platform, self.statements)

    @asynccontextmanager
    async def pooled(self) -> AsyncIterator[Reader]:
        """A reader on a connection of the pool. Raises one of AWAY."""
        if self._pool is None:
            # Not connected to anything until it is used; `reset` would cost a statement a load.
            self._pool = asyncpg.create_pool(
                self._dsn, min_size=0, max_size=POOL_SIZE, connect=_connect, reset=_leave_as_it_is
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


async def _connect(dsn: str, **options: Any) -> asyncpg.Connection[Any]:
    try:
        return await asyncpg.connect(
            dsn, timeout=DEADLINE, command_timeout=DEADLINE, server_settings=SERVER_SETTINGS, **options
        )
    except ValueError as error:
        raise AddressUnusable(f"the database URL cannot be used ({type(error).__name__})") from None


async def _leave_as_it_is(_connection: object) -> None:
    """A load changes nothing of its session."""
