"""Everything but LISTEN works behind a real PgBouncer in transaction mode, and a listener that is behind it says so.

Few sessions and many clients, so that one session serves them in turn, as on a busy day.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import structlog
from scenes.directory import PLATFORM, rows_of
from scenes.hierarchy import issue

from api.auth import Principal
from api.service import Reply
from control.app import pool_of
from control.audit.verify import verify
from control.db.migrate import available, migrate
from control.domains.tenancy import Tenancy
from control.domains.tenants import TenantDomains
from control.jobs import Jobs
from control.listener import SETTING, Listener
from core.database import Access
from core.feed import JOBS_CHANNEL
from core.hearing import Deaf
from embedded.background import Background
from embedded.database import OWNER, Database
from embedded.debian import ensure
from embedded.dns import DnsServer
from embedded.identity import IdentityProvider
from embedded.pebble import Pebble
from embedded.pgbouncer import PgBouncer
from embedded.ports import LOOPBACK, free_port
from embedded.postgres import Postgres
from embedded.process import Process
from embedded.vault_mount import VaultMount
from sidecar.directory.service import DirectoryService

Eventually = Callable[..., Awaitable[Any]]
SESSIONS = 2


@pytest.fixture(scope="module")
def pooler(background: Background, session_dir: Path, postgres: Postgres) -> PgBouncer:
    ensure("pgbouncer")
    home = session_dir / "pooler"
    home.mkdir(mode=0o711)
    return background.enter(PgBouncer.start(home, postgres, sessions=SESSIONS))


@pytest.fixture
def through(pooler: PgBouncer, database: Database) -> Callable[[str], Access]:
    """A role's access through the pooler."""
    return lambda role: Access(pooler.dsn(database.name, f"nameplate_{role}"), pooled=True)


@pytest.fixture(autouse=True)
async def let_go(pooler: PgBouncer, database: Database) -> AsyncIterator[None]:
    """The pooler keeps sessions; the database could not be a template, nor be dropped without a word."""
    yield
    connection = await asyncpg.connect(database.postgres.dsn())
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name)
    await connection.close()


def domains(pool: Any) -> TenantDomains:
    return TenantDomains(pool, timedelta(hours=72), 100)


async def add(service: TenantDomains, caller: Principal, hostname: str) -> UUID:
    seen: list[UUID] = []

    def reply(domain: Any) -> Reply:
        seen.append(domain.id)
        return Reply("{}", "/")

    await service.add(caller, hostname, None, reply)
    return seen[0]


async def test_many_tenants_at_once_over_two_sessions_see_their_own_and_nothing_of_each_other(
    through: Callable[[str], Access],
) -> None:
    callers = [Principal(uuid4(), f"caller{number}") for number in range(12)]

    async with pool_of(through("api")) as pool:
        service = domains(pool)

        async def work(number: int, caller: Principal) -> None:
            mine = {await add(service, caller, f"n{number}-{each}.example.com") for each in range(3)}
            for _ in range(5):
                page = await service.page(caller, None, None, 50)
                assert {domain.id for domain in page} == mine
                assert {domain.tenant_id for domain in page} == {caller.tenant_id}

        async def stranger() -> None:
            """Between all the others, who leave their tenant in no session behind."""
            for _ in range(40):
                assert await pool.fetchval("SELECT count(*) FROM custom_domains") == 0
                left = await pool.fetchval("SELECT current_setting('app.current_tenant', true)")
                assert left in (None, "")

        await asyncio.gather(stranger(), stranger(), *(work(number, caller) for number, caller in enumerate(callers)))


@pytest.mark.parametrize("how", ["an error", "a cut", "a cancellation"])
async def test_a_transaction_that_does_not_end_well_leaves_no_tenant_behind(
    through: Callable[[str], Access], how: str
) -> None:
    caller = Principal(uuid4(), "caller")
    async with pool_of(through("api")) as pool:
        await add(domains(pool), caller, "left.example.com")

        async def work(connection: Any) -> None:
            assert await connection.fetchval("SELECT count(*) FROM custom_domains") == 1
            if how == "an error":
                await connection.execute("SELECT 1 / 0")
            elif how == "a cut":
                connection.terminate()
                await connection.execute("SELECT 1")
            else:
                async with asyncio.timeout(0.05):
                    await connection.execute("SELECT pg_sleep(30)")

        with pytest.raises(Exception):  # noqa: B017 -- whatever each of the ways is told
            await Tenancy(pool).transact(caller, work)
        for _ in range(3 * SESSIONS):
            assert await pool.fetchval("SELECT count(*) FROM custom_domains") == 0


async def test_statements_of_several_replicas_do_not_get_in_each_other_s_way(
    through: Callable[[str], Access],
) -> None:
    """Two pools are two processes to a pooler. Claims of jobs, a cursor, many rows at once, types of our own."""
    async with pool_of(through("control")) as one, pool_of(through("control")) as other, pool_of(through("api")) as api:
        caller = Principal(uuid4(), "caller")
        ids = {await add(domains(api), caller, f"d{number}.example.com") for number in range(20)}
        claims = [Jobs(pool, f"replica{index % 2}").claim("verify", 3) for index, pool in enumerate([one, other] * 8)]
        claimed = [job.domain_id for jobs in await asyncio.gather(*claims) for job in jobs]
        assert sorted(claimed) == sorted(set(claimed)) == sorted(ids)

        async def verified(pool: Any) -> None:
            async with pool.acquire() as connection:
                assert (await verify(connection, None)).findings == []

        await asyncio.gather(*(verified(pool) for pool in [one, other] * 5))


async def test_without_the_listeners_address_named_statements_collide_which_is_why_it_is_a_setting(
    pooler: PgBouncer, database: Database
) -> None:
    named = Access(pooler.dsn(database.name, "nameplate_control"))
    async with pool_of(named) as one, pool_of(named) as other:

        async def ask(pool: Any, number: int) -> None:
            await pool.fetchval(f"SELECT {number}::int + $1::int", 1)

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            for _ in range(20):
                await asyncio.gather(*(ask(pool, number) for pool in (one, other) for number in range(10)))


async def test_the_listener_hears_beside_it_what_is_said_through_it(
    through: Callable[[str], Access], database: Database, eventually: Eventually
) -> None:
    heard: list[str] = []
    listening = asyncio.create_task(Listener(database.control_dsn, {JOBS_CHANNEL: heard.append}, lambda: None).run())
    async with pool_of(through("control")) as pool:

        async def said() -> bool:
            await pool.execute("SELECT pg_notify($1, 'verify')", JOBS_CHANNEL)
            return bool(heard)

        await eventually(said)
    listening.cancel()


async def test_a_listener_behind_it_says_so_and_what_to_set(
    pooler: PgBouncer, database: Database, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.listener.PROBE_DEADLINE", 0.5)
    behind = Listener(pooler.dsn(database.name, "nameplate_control"), {JOBS_CHANNEL: print}, lambda: None)
    with structlog.testing.capture_logs() as logs:
        listening = asyncio.create_task(behind.run())
        await eventually(lambda: logs)
        listening.cancel()
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("listener_hears_nothing", "error")
    assert f"set {SETTING} to an address of PostgreSQL itself" in entry["reason"]


async def test_a_sidecar_follows_beside_it_and_loads_through_it(
    through: Callable[[str], Access], database: Database, state_dir: Path, eventually: Eventually
) -> None:
    async with rows_of(database) as rows:
        service = DirectoryService(
            through("sidecar"), PLATFORM, "edge", state_dir, 1000, 100, Access(database.sidecar_dsn)
        )
        running = asyncio.create_task(service.run())
        await eventually(lambda: service.feed.reads > 0)
        await rows.tenant("acme")
        await eventually(lambda: service.directory.peek(f"acme.{PLATFORM}"))
        hostname = "shop.example.com"
        await rows.domain(hostname)
        loads = await asyncio.gather(*(load(service, name) for name in [hostname, "none.example.com"] * 20))
        assert [entry is not None for entry in loads] == [True, False] * 20
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def load(service: DirectoryService, hostname: str) -> object:
    async with service.postgres.pooled() as reader:
        return (await reader.load_names([hostname]))[hostname]


@pytest.mark.parametrize(
    "ignored", ["", "plan_cache_mode, tcp_keepalives_idle, tcp_keepalives_interval, tcp_keepalives_count"]
)
async def test_a_sidecar_whose_feed_is_behind_it_says_so_and_what_to_set(
    database: Database, state_dir: Path, ignored: str, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.directory.postgres.DEADLINE", 1.0)
    async with PgBouncer.start(state_dir, database.postgres, ignored=ignored) as strict:
        access = Access(strict.dsn(database.name, "nameplate_sidecar"))
        service = DirectoryService(access, PLATFORM, "edge", state_dir, 1000, 100)
        running = asyncio.create_task(service.run())
        await eventually(lambda: service.feed.last_error)
        assert service.feed.last_error is not None
        assert service.feed.last_error.startswith(f"{Deaf.__name__}: a pooler in transaction mode")
        assert "NAMEPLATE_SIDECAR_LISTEN_DATABASE_URL" in service.feed.last_error
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_schema_is_made_and_each_role_works_over_tls_and_through_it(
    database: Database, state_dir: Path, tmp_path: Path, number: int
) -> None:
    authority = issue("Company", ca=True)
    shown = issue("localhost", authority, names=("localhost",))
    trust = tmp_path / "ca.pem"
    trust.write_text(authority.pem)
    name = f"fresh{number}"
    await database.postgres.create_database(name, owner=OWNER)
    async with PgBouncer.start(state_dir, database.postgres, tls=(shown.pem, shown.key_pem)) as pooler:

        def over_tls(role: str) -> Access:
            return Access(pooler.tls_dsn(name, f"nameplate_{role}", trust), pooled=True)

        assert len(await migrate(over_tls("owner"))) == len(available())
        assert await migrate(over_tls("owner")) == []
        async with AsyncExitStack() as stack:
            api, control, sidecar = [
                await stack.enter_async_context(pool_of(over_tls(role))) for role in ("api", "control", "sidecar")
            ]
            caller = Principal(uuid4(), "caller")
            added = await add(domains(api), caller, "tls.example.com")
            assert await control.fetchval("SELECT id FROM custom_domains") == added
            assert await sidecar.fetch("SELECT * FROM tenants_v1") is not None
        with pytest.raises(asyncpg.PostgresError, match=r"TLS|SSL|encrypt"):
            await Access(pooler.dsn(name, "nameplate_api")).connect(5)
    await database.postgres.drop_database(name)


async def test_control_as_a_process_takes_a_domain_and_looks_at_it(
    database: Database,
    pooler: PgBouncer,
    vault_mount: VaultMount,
    pebble: Pebble,
    dns_server: DnsServer,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    identity = IdentityProvider.create()
    (tmp_path / "jwks.json").write_text(identity.jwks())
    listen = f"{LOOPBACK}:{free_port()}"
    environment = {
        "NAMEPLATE_CONTROL_DATABASE_URL": pooler.dsn(database.name, "nameplate_control"),
        "NAMEPLATE_CONTROL_LISTEN_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": pooler.dsn(database.name, "nameplate_api"),
        "NAMEPLATE_API_LISTEN": listen,
        "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
        "NAMEPLATE_DNS_RESOLVERS": dns_server.address,
        "NAMEPLATE_JWT_JWKS_FILE": str(tmp_path / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": identity.issuer,
        "NAMEPLATE_JWT_AUDIENCE": identity.audience,
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": vault_mount.control.secret_id,
        "NAMEPLATE_ACME_DIRECTORY_URL": pebble.directory_url,
        "NAMEPLATE_ACME_CA_FILE": str(pebble.ca_bundle),
    }
    token = identity.token(uuid4(), "caller", 600)
    log = tmp_path / "control.log"
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{listen}", trust_env=False, headers=headers) as http:

        async def ready() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        process = await Process.start(
            "control", [sys.executable, "-m", "cli", "control"], log_path=log, ready=ready, env=environment
        )
        try:
            answer = await http.post("/api/v1/domains", json={"hostname": "pooled.example.com"})
            assert answer.status_code == 201, answer.text
            domain_id = UUID(answer.json()["id"])
            workers = await asyncpg.connect(database.control_dsn)

            async def looked() -> Any:
                """The verifier, woken by a notification, has claimed its job and written what it found."""
                return await workers.fetchval("SELECT dns_finding FROM custom_domains WHERE id = $1", domain_id)

            await eventually(looked, timeout=15)
            await workers.close()
        finally:
            await process.stop()
    said = log.read_text()
    assert "listener_hears_nothing" not in said
    assert "Error" not in said
