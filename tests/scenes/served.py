"""The API served on loopback, those who issue tokens for it, and those who use it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.admin.upstreams import Upstreams
from api.app import create_app
from api.auth import Authenticator
from api.endpoints import Endpoints
from api.instructions import Target
from api.jwks import KeyFile
from api.overview.overview import Overview
from api.propagation import NOBODY, Witness
from api.service import Diagnostician
from api.ui.app import Ui
from api.uploads import Uploads
from control.app import http_server
from control.client_auth.tenant import TenantClientAuths
from control.domains.tenants import TenantDomains
from control.preflight.report import Check, Report
from core.domain import Domain
from core.hostname import HostnameRules

ISSUER, AUDIENCE = "https://issuer.test", "nameplate"
TARGET = Target("custom.platform.io", ("76.76.21.21",))
VERIFY_TTL = timedelta(hours=72)
MAX_DOMAINS = 5


@dataclass(frozen=True, slots=True)
class Issuer:
    """Makes tokens; its public key is in `path`."""

    path: Path
    key: Ed25519PrivateKey = field(repr=False)

    def token(self, tenant_id: UUID | None, **claims: Any) -> str:
        standard = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": time.time() + 3600,
            **({} if tenant_id is None else {"tenant_id": str(tenant_id)}),
        }
        return jwt.encode({**standard, **claims}, self.key, algorithm="EdDSA", headers={"kid": "k1"})


class Scripted:
    """What a diagnosis found, or how it failed, told in advance. `asked`: about which domains, in order."""

    def __init__(self) -> None:
        self.asked: list[Domain] = []
        self.failure: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def diagnose(self, domain: Domain) -> Mapping[str, Any]:
        self.asked.append(domain)
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        checks = [Check("caa", "caa_forbids", False, True, "tenant", "It forbids us.", ["ca.test"], {"issue": ["x"]})]
        return Report(checks, ["https://ca.test/directory"]).to_json()


def app_of(
    issuer: Issuer,
    rules: HostnameRules,
    pool: asyncpg.Pool[Any],
    max_domains: int = MAX_DOMAINS,
    target: Target = TARGET,
    diagnostician: Diagnostician | None = None,
    endpoints: Callable[[asyncpg.Pool[Any]], Endpoints] | None = None,
    uploads: Callable[[asyncpg.Pool[Any]], Uploads] | None = None,
    witness: Witness = NOBODY,
    upstreams: Upstreams | None = None,
    overview: Overview | None = None,
    ui: Ui | None = None,
) -> ASGIApp:
    domains = TenantDomains(pool, VERIFY_TTL, max_domains)
    authenticator = Authenticator(KeyFile(issuer.path), issuer=ISSUER, audience=AUDIENCE)
    return create_app(
        domains,
        authenticator,
        rules,
        target,
        CollectorRegistry(),
        diagnostician=diagnostician,
        endpoints=None if endpoints is None else endpoints(pool),
        uploads=None if uploads is None else uploads(pool),
        client_auths=TenantClientAuths(pool),
        witness=witness,
        upstreams=upstreams,
        overview=overview,
        ui=ui,
    )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve with uvicorn as control does; gives the base address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = http_server(app)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def serving_on(dsn: str, make_app: Callable[..., ASGIApp], **settings: Any) -> AsyncIterator[str]:
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=20) as pool,
        serving(make_app(pool, **settings)) as url,
    ):
        yield url


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant's client. Paths are below the API's prefix."""

    id: UUID
    client: httpx.AsyncClient = field(repr=False)

    async def add(self, hostname: str, **headers: str) -> httpx.Response:
        return await self.client.post("/domains", json={"hostname": hostname}, headers=headers)
