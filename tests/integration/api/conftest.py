"""The API as it runs: uvicorn on loopback, a real database, real tokens."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.app import create_app
from api.auth import Authenticator
from api.instructions import Target
from api.jwks import KeyFile
from control.domains.tenants import TenantDomains
from core.hostname import HostnameRules
from embedded.database import Database

ISSUER, AUDIENCE = "https://issuer.test", "nameplate"
TARGET = Target("custom.platform.io", ("76.76.21.21",))
VERIFY_TTL = timedelta(hours=72)
MAX_DOMAINS = 5


@dataclass(frozen=True, slots=True)
class Issuer:
    """Makes tokens; its public key is in `path`."""

    path: Path
    key: Ed25519PrivateKey = field(repr=False)

    def token(self, tenant_id: UUID, **claims: Any) -> str:
        standard = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": time.time() + 300,
            "tenant_id": str(tenant_id),
        }
        return jwt.encode({**standard, **claims}, self.key, algorithm="EdDSA", headers={"kid": "k1"})


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant's client. Paths are below the API's prefix."""

    id: UUID
    client: httpx.AsyncClient = field(repr=False)

    async def add(self, hostname: str, **headers: str) -> httpx.Response:
        return await self.client.post("/domains", json={"hostname": hostname}, headers=headers)


@pytest.fixture
def issuer(state_dir: Path) -> Issuer:
    key = Ed25519PrivateKey.generate()
    jwk = {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "EdDSA"}
    path = state_dir / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk]}))
    return Issuer(path, key)


@pytest.fixture(scope="session")
def rules() -> HostnameRules:
    return HostnameRules("platform.io", blocked_suffixes=("blocked.example",))


@pytest.fixture
async def control(database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection as control's workers have it: it sees every row."""
    connection = await asyncpg.connect(database.control_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def make_app(issuer: Issuer, rules: HostnameRules) -> Callable[..., ASGIApp]:
    """`make_app(pool, max_domains=5)`."""

    def make(pool: asyncpg.Pool[Any], max_domains: int = MAX_DOMAINS) -> ASGIApp:
        domains = TenantDomains(pool, VERIFY_TTL, max_domains)
        authenticator = Authenticator(KeyFile(issuer.path), issuer=ISSUER, audience=AUDIENCE)
        return create_app(domains, authenticator, rules, TARGET, CollectorRegistry())

    return make


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve with uvicorn as control does; gives the base address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
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


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=20) as pool:
        yield pool


@pytest.fixture
async def url(pool: asyncpg.Pool[Any], make_app: Callable[..., ASGIApp]) -> AsyncIterator[str]:
    async with serving(make_app(pool)) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Without a token, at the root of the server."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
async def new_tenant(url: str, issuer: Issuer) -> AsyncIterator[Callable[[], Tenant]]:
    """`new_tenant()`: a tenant that nobody has heard of yet."""
    made: list[httpx.AsyncClient] = []

    def make() -> Tenant:
        tenant_id = uuid4()
        headers = {"Authorization": f"Bearer {issuer.token(tenant_id)}"}
        client = httpx.AsyncClient(base_url=url + "/api/v1", headers=headers, trust_env=False)
        made.append(client)
        return Tenant(tenant_id, client)

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def tenant(new_tenant: Callable[[], Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def other(new_tenant: Callable[[], Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def serve() -> Callable[[ASGIApp], Any]:
    """`async with serve(app) as url:`"""
    return serving
