"""A search whose conditions are whatever somebody thought of: PostgreSQL ends it after a while, and that is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from api.overview.overview import SearchTooWide
from control.domains.tenancy import Connection

T = TypeVar("T")


def bounded(work: Callable[[Connection], Awaitable[T]]) -> Callable[[Connection], Awaitable[T]]:
    """`work`, which raises SearchTooWide when a statement of it takes longer than a statement may."""

    async def search(connection: Connection) -> T:
        try:
            return await work(connection)
        except asyncpg.QueryCanceledError:
            raise SearchTooWide from None

    return search
