"""Does a connection that LISTENs hear? Behind a pooler in transaction mode it does not, and nothing says so.

    the session that was connected to is the one that answers ── yes ─▶ it hears
        │ no: a pooler
        ▼
    NOTIFY by another connection comes back ── yes ─▶ it hears (a pooler in session mode)
        │ no
        ▼
    Deaf

By another connection, because a pooler that has one session at hand uses it for both, and the probe would come back.
Source: https://www.postgresql.org/docs/current/protocol-message-formats.html (BackendKeyData)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from core.database import Access

if TYPE_CHECKING:
    import asyncpg

CHANNEL = "nameplate_echo"


class Deaf(ConnectionError):
    """LISTEN does not work where this connection leads. `setting`: what would mend it."""

    def __init__(self, setting: str) -> None:
        super().__init__(
            "a pooler in transaction mode stands before PostgreSQL, and lets no notification through: "
            f"set {setting} to an address of PostgreSQL itself"
        )


async def check_hearing(connection: asyncpg.Connection[Any], access: Access, setting: str, seconds: float) -> None:
    """Raises Deaf, and what asyncpg raises. `access`: by which `connection` was made. `seconds`: for each step."""
    if not await pooled(connection, seconds):
        return
    heard, token = asyncio.Event(), uuid4().hex

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == token:
            heard.set()

    await connection.add_listener(CHANNEL, hear)
    other = await access.connect(seconds, command_timeout=seconds)
    try:
        await other.execute(f"NOTIFY {CHANNEL}, '{token}'", timeout=seconds)  # a slow one is not for want of ears
    finally:
        other.terminate()
    try:
        async with asyncio.timeout(seconds):
            await heard.wait()
    except TimeoutError:
        raise Deaf(setting) from None
    await connection.remove_listener(CHANNEL, hear)


async def pooled(connection: asyncpg.Connection[Any], seconds: float) -> bool:
    """Whether the session that answers is another than the one whose number was told when it was connected to."""
    async with connection.transaction():  # so that both messages go to one session
        question = await connection.prepare("SELECT pg_backend_pid()", name="", timeout=seconds)
        return bool(await question.fetchval(timeout=seconds) != connection.get_server_pid())
