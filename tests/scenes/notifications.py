"""Notifications on real parts: a deliverer on PostgreSQL and OpenBao, webhooks that verify, a mail server."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvicorn
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from control.dns.resolver import Resolver
from control.outbox.admin import AdminEndpoints
from control.outbox.deliverer import Deliverer, DeliveryMetrics, Places
from control.outbox.queue import Queue
from control.outbox.signing import Secrets, new_secret
from control.outbox.target import Targets
from control.outbox.webhook import WebhookSender
from control.vault import Vault
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount

LOOPBACK = (ip_network("127.0.0.0/8"),)
FAST = Places(turn=1.0, deadline=5.0)


class Clock:
    """Stands, until it is moved."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True, slots=True)
class Hook:
    """A request as it came."""

    path: str
    id: str
    body: dict[str, Any]
    headers: dict[str, str]
    raw: bytes = field(repr=False)

    @property
    def subject(self) -> str:
        """The hostname it is about."""
        return str(self.body["data"].get("hostname"))

    def verified_by(self, secret: str) -> bool:
        Webhook(secret).verify(self.raw, self.headers)
        return True


class WebhookServer:
    """Keeps what comes. `answer`: a status, or a function of the request that gives a response or a status."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        self.answer: Any = 204
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        raw = await request.body()
        headers = dict(request.headers)
        hook = Hook(scope["path"], headers.get("webhook-id", ""), json.loads(raw), headers, raw)
        self.hooks.append(hook)
        answer = self.answer(hook) if callable(self.answer) else self.answer
        if asyncio.iscoroutine(answer):
            answer = await answer
        response = answer if isinstance(answer, Response) else Response(status_code=answer)
        await response(scope, receive, send)

    def at(self, path: str) -> list[Hook]:
        return [hook for hook in self.hooks if hook.path == path]

    @asynccontextmanager
    async def serve(self, certificate: str | None = None, key: str | None = None) -> AsyncIterator[WebhookServer]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        server = _Quiet(config)
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:
                assert not task.done()
                await asyncio.sleep(0)
            yield self
        finally:
            server.should_exit = server.force_exit = True
            await task
            listener.close()


class _Quiet(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@dataclass(slots=True)
class Room:
    """A database with a deliverer that is not running yet."""

    pool: asyncpg.Pool[Any]
    vault: Vault
    clock: Clock
    secrets: Secrets
    queue: Queue
    deliverer: Deliverer
    registry: CollectorRegistry

    async def endpoint(
        self,
        url: str,
        tenant: UUID | None = None,
        *,
        events: Sequence[str] | None = None,
        kind: str = "webhook",
    ) -> tuple[UUID, UUID, str]:
        """→ its id, its tenant, its secret."""
        endpoint_id, secret, tenant = uuid4(), new_secret(), tenant or uuid4()
        version = await self.secrets.create(endpoint_id, secret) if kind == "webhook" else None
        await self.pool.execute(
            """INSERT INTO notification_endpoints (id, tenant_id, kind, address, events, secret_version)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            endpoint_id,
            tenant,
            kind,
            url,
            events,
            version,
        )
        return endpoint_id, tenant, secret

    async def happen(
        self, tenant: UUID | None, event: str = "domain.verify", domain: UUID | None = None, **payload: Any
    ) -> None:
        await self.pool.execute(
            "INSERT INTO outbox (tenant_id, domain_id, event, payload) VALUES ($1, $2, $3, $4)",
            tenant,
            domain,
            event,
            json.dumps(payload),
        )
        self.deliverer.wake()

    async def states(self) -> list[str]:
        rows = await self.pool.fetch("SELECT state FROM deliveries ORDER BY outbox_id, endpoint_id")
        return [row["state"] for row in rows]

    @asynccontextmanager
    async def running(self, *others: Deliverer) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(each.run()) for each in (self.deliverer, *others)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def pass_time(self, time: timedelta) -> None:
        self.clock.ahead += time
        self.deliverer.wake()

    def another(self, **changes: Any) -> Deliverer:
        """Another replica's, on the same database."""
        return _deliverer(self.pool, self.secrets, self.clock, CollectorRegistry(), **changes)


def _deliverer(
    pool: asyncpg.Pool[Any],
    secrets: Secrets,
    clock: Clock,
    registry: CollectorRegistry,
    *,
    senders: dict[str, Any] | None = None,
    resolvers: Sequence[Resolver] = (),
    allowed: Any = LOOPBACK,
    trust: ssl.SSLContext | None = None,
    insecure: bool = True,
    places: Places = FAST,
    admin: tuple[str | None, str | None] = (None, None),
    jitter: Callable[[], float] = lambda: 0.0,
) -> Deliverer:
    webhook = WebhookSender(
        secrets,
        Targets(resolvers, allowed),
        trust or ssl.create_default_context(),
        clock,
        insecure=insecure,
        deadline=places.deadline,
    )
    return Deliverer(
        Queue(pool),
        {"webhook": webhook, **(senders or {})},
        secrets,
        AdminEndpoints(pool, secrets, *admin),
        DeliveryMetrics(registry),
        clock,
        places,
        jitter,
    )


@asynccontextmanager
async def room(pool: asyncpg.Pool[Any], mount: VaultMount, **changes: Any) -> AsyncIterator[Room]:
    role_id, secret_id = mount.control
    vault = Vault(mount.url, mount.path, AppRole(role_id, lambda: secret_id))
    clock = Clock()
    secrets = Secrets(vault, clock)
    registry = CollectorRegistry()
    try:
        deliverer = _deliverer(pool, secrets, clock, registry, **changes)
        yield Room(pool, vault, clock, secrets, Queue(pool), deliverer, registry)
    finally:
        vault.close()


# --- a deliverer as a process of its own, to be killed


@asynccontextmanager
async def mortal(dsn: str, mount: VaultMount, places: Places) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs until it is killed, or the block ends."""
    role_id, secret_id = mount.control
    wiring = {"dsn": dsn, "url": mount.url, "mount": mount.path, "role_id": role_id, "secret_id": secret_id}
    tests = Path(__file__).parent.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scenes.notifications"),
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({**wiring, "turn": places.turn, "deadline": places.deadline}).encode() + b"\n")
        await process.stdin.drain()
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _live(wiring: dict[str, Any]) -> None:
    vault = Vault(wiring["url"], wiring["mount"], AppRole(wiring["role_id"], lambda: wiring["secret_id"]))
    places = Places(turn=wiring["turn"], deadline=wiring["deadline"])
    clock = Clock()
    async with asyncpg.create_pool(wiring["dsn"], min_size=0, max_size=4) as pool:
        await _deliverer(pool, Secrets(vault, clock), clock, CollectorRegistry(), places=places).run()


if __name__ == "__main__":
    asyncio.run(_live(json.loads(sys.stdin.readline())))
