"""Where a transaction belongs to a trace: what it writes keeps that, for whoever goes on from there (0031_traces)."""

from __future__ import annotations

from typing import Any

import asyncpg

from core import trace

# What is tried for days is not one long trace: after this it begins one of its own each time.
TRACED = "15 minutes"
TELL = "SELECT set_config('nameplate.trace', $1, true)"


async def tell(connection: asyncpg.Connection[Any]) -> None:
    """Inside a transaction: until its end, or until told anew. Nothing is said where nothing is recorded."""
    traceparent = trace.traceparent()
    if traceparent is not None:
        await connection.execute(TELL, traceparent)


async def say_no_more(connection: asyncpg.Connection[Any]) -> None:
    """Inside a transaction that was told: what it writes from here on begins traces of its own."""
    if trace.traceparent() is not None:
        await connection.execute(TELL, "")
