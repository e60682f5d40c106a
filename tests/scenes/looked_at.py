"""A domain that somebody looks at: how it is brought into any state, and what its open page is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from scenes.pages import Person
from starlette.types import ASGIApp, Message

from api.propagation import Nothing
from core.domain import Finding


@dataclass
class Seeing:
    """The sidecars, as a replica has heard of them."""

    now: Nothing = field(default_factory=lambda: Nothing(seen=3, known=3, connected=3, acknowledged=3))

    def seen(self, _xid: int, _hostname: str | None = None) -> Nothing:
        return self.now


async def bring(control: asyncpg.Connection[Any], domain: UUID, **columns: Any) -> None:
    """Straight into a state, as no worker would; findings are written as control writes them."""
    values = [one.to_json() if isinstance(one, Finding) else one for one in columns.values()]
    names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    await control.execute(f"UPDATE custom_domains SET {names} WHERE id = $1", domain, *values)


async def certify(control: asyncpg.Connection[Any], domain: UUID, ends_in: str = "70 days") -> None:
    """A managed certificate; only its facts."""
    await control.execute(
        f"""WITH made AS (INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
               vault_version, directory_url)
               VALUES ($1, 'ab01', 'CA <b>E7</b>', repeat('f', 64), now() - interval '20 days',
                       now() + interval '{ends_in}', 1, 'https://ca.test') RETURNING id, not_after)
           UPDATE custom_domains SET certificate_id = made.id, cert_expiry = made.not_after, ssl_status = 'issued',
               status = 'active', verified_by = 'txt' FROM made WHERE custom_domains.id = $1""",
        domain,
    )


@dataclass
class Stream:
    """`status`: of the answer. `parts`: what came, a piece of the stream each; None at its end."""

    status: int
    parts: asyncio.Queue[str | None]
    task: asyncio.Task[None]

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next one. `("", {})` at the end; comments and `retry` are passed over."""
        while (part := await self.parts.get()) is not None:
            fields = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])
        return "", {}

    async def is_over(self) -> bool:
        return await self.parts.get() is None


@asynccontextmanager
async def listening(app: ASGIApp, person: Person, path: str, query: str = "", room: int = 0) -> AsyncIterator[Stream]:
    """A page's stream, as a server sees it; the connection is cut at the end of the block.

    `room`: parts that may wait to be taken; 0: any number.
    """
    parts: asyncio.Queue[str | None] = asyncio.Queue(room)
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    gone = asyncio.Event()
    requested = False

    async def receive() -> Message:
        nonlocal requested
        if not requested:
            requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.set_result(message["status"])
            return
        if text := message.get("body", b"").decode():
            await parts.put(text)
        if not message.get("more_body"):
            await parts.put(None)

    cookie = "; ".join(f"{one.name}={one.value}" for one in person.http.cookies.jar)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"domains.platform.io"), (b"cookie", cookie.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
    }
    task = asyncio.create_task(app(scope, receive, send))
    try:
        yield Stream(await begun, parts, task)
    finally:
        gone.set()
        await task
