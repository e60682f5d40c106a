"""What asyncpg raises while PostgreSQL is away, going or coming. InternalClientError is what a connection says that is
cut in the very moment in which it is used."""

from __future__ import annotations

import asyncpg

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
