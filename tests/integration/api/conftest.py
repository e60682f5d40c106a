"""The API as it runs: uvicorn on loopback, a real database, real tokens.

One server and one database for all these tests: the database is emptied before each.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from scenes.served import (
    MAX_DOMAINS,
    VERIFY_TTL,
    Issuer,
    Scripted,
    Tenant,
    app_of,
    serving_on,
)
from starlette.types import ASGIApp

from api.admin.upstreams import Upstreams
from api.auth import Principal
from api.service import Reply
from api.ui.app import Ui
from api.ui.brand import Brand
from api.ui.links import Links
from control.domains.tenants import TenantDomains
from control.outbox.endpoints import TenantEndpoints
from control.outbox.signing import Secrets
from control.services import parts as services
from control.ui.changes import Hints
from control.ui.sessions import StoredSessions
from control.ui.signing import VaultSigningKeys
from control.uploads.tenant import TenantUploads
from control.vault import Vault
from core.domain import Domain
from core.hostname import HostnameRules
from core.vault_login import AppRole
from embedded.background import Background
from embedded.database import Database
from embedded.plain_http import plain_http
from embedded.vault_mount import VaultMount

PAGES = "https://domains.platform.io"
# The audit is append-only for everybody, so its triggers are away while the tests write its past.
CHAIN = ("audit", "audit_seals", "audit_heads", "audit_checkpoints")
EMPTIED = (
    *("tenants", "custom_domains", "certificates", "challenges", "acme_orders", "jobs", "changes", "outbox"),
    *("notification_endpoints", "idempotency_keys", "ui_sessions", "upload_attempts", "client_auth_changes"),
    *("ui_endings", "services", "trust", "identities"),
    *CHAIN,
)
# As TRUNCATE … CASCADE does it, which for tables of a few rows takes ten times as long: behind all who still write.
EMPTYING = """
    WITH RECURSIVE emptied (id) AS (
        SELECT unnest($1::text[])::regclass::oid
        UNION
        SELECT conrelid FROM pg_constraint JOIN emptied ON confrelid = id WHERE contype = 'f'
    )
    SELECT format('SET LOCAL session_replication_role = replica; LOCK TABLE %s; %s',
                  string_agg(id::regclass::text, ', '), string_agg('DELETE FROM ' || id::regclass, '; '))
    FROM emptied
"""


# --- the database


@pytest.fixture(scope="session")
def api_database(background: Background, database_template: Database) -> Iterator[Database]:
    database = background.run(database_template.copy("api"))
    yield database
    background.run(database.drop())


@pytest.fixture(scope="session")
def emptying(background: Background, api_database: Database) -> str:
    """The statements that empty it."""

    async def read() -> str:
        connection = await asyncpg.connect(api_database.superuser_dsn)
        try:
            return str(await connection.fetchval(EMPTYING, EMPTIED))
        finally:
            await connection.close()

    return background.run(read())


@pytest.fixture
async def superuser(api_database: Database) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(api_database.superuser_dsn)
    yield connection
    await connection.close()


async def rewrite(superuser: asyncpg.Connection[Any], statements: str) -> None:
    """Execute what the append-only tables refuse."""
    off = [f"ALTER TABLE {table} DISABLE TRIGGER append_only" for table in CHAIN]
    on = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only" for table in CHAIN]
    async with superuser.transaction():
        await superuser.execute("; ".join([*off, statements, *on]))


@pytest.fixture
async def database(api_database: Database, superuser: asyncpg.Connection[Any], emptying: str) -> Database:
    """Empty."""
    await rewrite(superuser, emptying)
    return api_database


@pytest.fixture
def pass_time(superuser: asyncpg.Connection[Any]) -> Callable[[str], Awaitable[None]]:
    """`await pass_time("6 s")`: everything in the audit was that much earlier."""

    async def earlier(interval: str) -> None:
        await rewrite(superuser, f"UPDATE audit SET at = at - interval '{interval}'")

    return earlier


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    """As the API has it."""
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=20) as pool:
        yield pool


# --- without HTTP


@pytest.fixture
def domains(pool: asyncpg.Pool[Any]) -> TenantDomains:
    return TenantDomains(pool, VERIFY_TTL, MAX_DOMAINS)


@pytest.fixture
def caller() -> Principal:
    return Principal(uuid4(), "alice")


@pytest.fixture
def stranger() -> Principal:
    """Of another tenant."""
    return Principal(uuid4(), "mallory")


@pytest.fixture
def add(domains: TenantDomains) -> Callable[[Principal, str], Awaitable[Domain]]:
    """`await add(caller, hostname)` registers it and gives its record."""

    async def register(caller: Principal, hostname: str) -> Domain:
        seen: list[Domain] = []

        def reply(domain: Domain) -> Reply:
            seen.append(domain)
            return Reply("{}", "/")

        await domains.add(caller, hostname, None, reply)
        return seen[0]

    return register


# --- tokens


@pytest.fixture(scope="session")
def issuer(session_dir: Path) -> Issuer:
    key = Ed25519PrivateKey.generate()
    jwk = {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "EdDSA"}
    path = session_dir / "api-jwks.json"
    path.write_text(json.dumps({"keys": [jwk]}))
    return Issuer(path, key)


# --- diagnoses


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


# --- notifications


@pytest.fixture
def vault(vault_mount: VaultMount) -> Iterator[Vault]:
    role = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    yield vault
    vault.close()


@pytest.fixture
def endpoints(vault: Vault) -> Callable[[asyncpg.Pool[Any]], TenantEndpoints]:
    """Makes them of a pool, with their secrets in a Vault."""
    secrets = Secrets(vault, lambda: datetime.now(UTC))
    return lambda pool: TenantEndpoints(pool, secrets, mails=True)


# --- uploads


@pytest.fixture
def uploads(vault: Vault) -> Callable[..., TenantUploads]:
    """Makes them of a pool, with their keys in a Vault."""
    return lambda pool, **settings: TenantUploads(pool, vault, VERIFY_TTL, **settings)


# --- what the operator describes


@pytest.fixture
async def workers(database: Database) -> AsyncIterator[asyncpg.Pool[Any]]:
    """A pool as control's workers have it."""
    async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=8) as pool:
        yield pool


@pytest.fixture
def upstreams(workers: asyncpg.Pool[Any], vault: Vault) -> Upstreams:
    return services.upstreams(workers, vault)


# --- the pages


@dataclass(slots=True)
class Clock:
    at: datetime

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    """Of the pages' links and sessions."""
    return Clock(datetime(2026, 4, 22, 2, tzinfo=UTC))


@pytest.fixture
def ui(workers: asyncpg.Pool[Any], vault: Vault, clock: Clock) -> Ui:
    links = Links(VaultSigningKeys(vault), PAGES, clock.now)
    return Ui(PAGES, Brand(return_url="https://platform.test/"), StoredSessions(workers, clock.now), links, Hints())


# --- the server


@pytest.fixture(scope="session")
def rules() -> HostnameRules:
    return HostnameRules("platform.io", blocked_suffixes=("blocked.example",))


@pytest.fixture(scope="session")
def make_app(issuer: Issuer, rules: HostnameRules) -> Callable[..., ASGIApp]:
    """`make_app(pool, max_domains=5, target=…, diagnostician=…, endpoints=…, uploads=…)`; the last two make theirs."""
    return partial(app_of, issuer, rules)


@pytest.fixture
def serve(make_app: Callable[..., ASGIApp]) -> Callable[..., Any]:
    """`async with serve(dsn, max_domains=5) as url:` an API of the test's own."""

    def start(dsn: str, **settings: Any) -> Any:
        return serving_on(dsn, make_app, **settings)

    return start


@pytest.fixture(scope="session")
def server(background: Background, api_database: Database, make_app: Callable[..., ASGIApp]) -> str:
    return background.enter(serving_on(api_database.api_dsn, make_app))


@pytest.fixture
def url(server: str, database: Database) -> str:
    """The base address of the API, with an empty database."""
    return server


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Without a token, at the root of the server."""
    async with plain_http(base_url=url) as client:
        yield client


@pytest.fixture
async def new_tenant(url: str, issuer: Issuer) -> AsyncIterator[Callable[..., Tenant]]:
    """`new_tenant()`: a tenant that nobody has heard of yet. `new_tenant(url)`: of another server."""
    made: list[httpx.AsyncClient] = []

    def make(base: str = url) -> Tenant:
        tenant_id = uuid4()
        headers = {"Authorization": f"Bearer {issuer.token(tenant_id)}"}
        client = plain_http(base_url=base + "/api/v1", headers=headers, timeout=30)
        made.append(client)
        return Tenant(tenant_id, client)

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def tenant(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def other(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


# --- the log


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the API logs, an entry a line."""
    entries: list[dict[str, Any]] = []

    def keep(_logger: object, method: str, event: Any) -> Any:
        entries.append({"level": method, **event})
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[structlog.contextvars.merge_contextvars, keep])
    for module in ("api.exchange", "api.problems", "control.domains.tenancy"):
        monkeypatch.setattr(f"{module}.log", logger)
    return entries
