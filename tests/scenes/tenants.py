"""What PostgreSQL holds of a tenant's domain, and what a test makes of it."""

from __future__ import annotations

from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

Control: TypeAlias = "asyncpg.Connection[Any]"  # as role nameplate_control


async def actions(control: Control, domain_id: UUID) -> list[tuple[str, str]]:
    rows = await control.fetch("SELECT actor, action FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
    return [(row["actor"], row["action"]) for row in rows]


async def job(control: Control, domain_id: UUID) -> str | None:
    value = await control.fetchval("SELECT kind FROM jobs WHERE domain_id = $1 AND run_at <= now()", domain_id)
    return None if value is None else str(value)


async def set_status(control: Control, domain_id: UUID, status: str) -> None:
    await control.execute("UPDATE custom_domains SET status = $2 WHERE id = $1", domain_id, status)
