"""PostgreSQL away, cut off, or silent: 503 with Retry-After at once or soon, and back by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from embedded.database import Database
from embedded.postgres import Postgres
from embedded.proxy import Proxy

Tenant = Any  # tests/integration/api/conftest.py


@dataclass(frozen=True, slots=True)
class Fragile:
    """An API whose connections to PostgreSQL go through a proxy."""

    url: str
    proxy: Proxy


@pytest.fixture
async def fragile(database: Database, serve: Callable[..., Any]) -> AsyncIterator[Fragile]:
    async with Proxy.start(("127.0.0.1", database.postgres.port)) as proxy:
        dsn = database.api_dsn.replace(f":{database.postgres.port}/", f":{proxy.port}/")
        async with serve(dsn) as url:
            yield Fragile(url, proxy)


def assert_unavailable(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable"), response.text
    assert int(response.headers["retry-after"]) >= 1


async def test_a_connection_that_is_cut_is_503_and_the_next_request_works(
    fragile: Fragile, new_tenant: Callable[..., Tenant], eventually: Callable[..., Any]
) -> None:
    tenant = new_tenant(fragile.url)
    assert (await tenant.add("a.example.com")).status_code == 201
    await fragile.proxy.cut()
    assert_unavailable(await tenant.client.get("/domains"))
    assert_unavailable(await tenant.add("b.example.com"))
    assert_unavailable(await tenant.client.get(fragile.url + "/readyz"))
    assert (await tenant.client.get(fragile.url + "/livez")).status_code == 200
    fragile.proxy.restore()

    async def works() -> bool:
        return bool((await tenant.add("b.example.com")).status_code == 201)

    await eventually(works)
    assert (await tenant.client.get(fragile.url + "/readyz")).status_code == 200


async def test_a_silent_database_is_503_after_the_deadline(
    fragile: Fragile,
    new_tenant: Callable[..., Tenant],
    monkeypatch: pytest.MonkeyPatch,
    time_scale: float,
) -> None:
    monkeypatch.setattr("control.domains.tenancy.DEADLINE", 0.3)
    monkeypatch.setattr("control.domains.tenancy.ACQUIRE_TIMEOUT", 0.3)
    tenant = new_tenant(fragile.url)
    created = await tenant.add("a.example.com")
    fragile.proxy.stall()
    started = time.monotonic()
    responses = await asyncio.gather(
        tenant.client.get("/domains"),
        tenant.add("b.example.com"),
        tenant.client.delete(f"/domains/{created.json()['id']}"),
        tenant.client.get(fragile.url + "/readyz"),
    )
    for response in responses:
        assert_unavailable(response)
    assert time.monotonic() - started < 3 * time_scale
    fragile.proxy.restore()
    assert [item["hostname"] for item in (await tenant.client.get("/domains")).json()["data"]] == ["a.example.com"]


async def test_a_lock_that_is_not_freed_is_503(
    tenant: Tenant, control: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.domains.tenancy.LOCK_TIMEOUT", "100ms")
    created = await tenant.add("a.example.com")
    async with control.transaction():
        await control.execute("SELECT FROM jobs FOR UPDATE")
        assert_unavailable(await tenant.client.delete(f"/domains/{created.json()['id']}"))
    assert (await tenant.client.delete(f"/domains/{created.json()['id']}")).status_code == 204


async def test_an_import_that_is_interrupted_has_done_nothing_and_can_be_sent_again(
    tenant: Tenant,
    control: asyncpg.Connection[Any],
    superuser: asyncpg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body, key = {"hostnames": ["a.example.com", "b.example.com"]}, {"Idempotency-Key": "k"}
    with monkeypatch.context() as patch:
        patch.setattr("control.domains.tenancy.LOCK_TIMEOUT", "100ms")
        async with superuser.transaction():
            await superuser.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")  # the domains are in already
            assert_unavailable(await tenant.client.post("/domains/import", json=body, headers=key))
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 0
    again = await tenant.client.post("/domains/import", json=body, headers=key)
    assert (again.status_code, again.json()["created"]) == (200, 2)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/quota"),
        ("GET", "/domains/{id}/audit"),
        ("GET", "/domains/{id}/diagnosis"),
        ("POST", "/domains/{id}/resume"),
        ("POST", "/domains/{id}/renew"),
        ("POST", "/domains/{id}/verify"),
    ],
)
async def test_without_a_database_nothing_is_said_about_a_domain(
    database: Database,
    serve: Callable[..., Any],
    new_tenant: Callable[..., Tenant],
    scripted: Any,
    method: str,
    path: str,
) -> None:
    async with serve(database.api_dsn.replace(f":{database.postgres.port}/", ":1/"), diagnostician=scripted) as url:
        assert_unavailable(await new_tenant(url).client.request(method, path.format(id=uuid4())))


async def test_a_victim_of_a_deadlock_tries_again(
    database: Database,
    serve: Callable[..., Any],
    new_tenant: Callable[..., Tenant],
    superuser: asyncpg.Connection[Any],
    logged: list[dict[str, Any]],
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody takes the domain before its job, against the order of locks."""
    # PostgreSQL looks for a circle once, so long after a wait began: the API's look must find it, and no one else's.
    monkeypatch.setattr("control.domains.tenancy.LOCK_TIMEOUT", "30s")
    monkeypatch.setattr("control.domains.tenancy.DEADLINE", 30)
    await superuser.execute("SET deadlock_timeout = '1 min'")
    setting = f"ALTER ROLE nameplate_api IN DATABASE {database.name}"
    await superuser.execute(f"{setting} SET deadlock_timeout = '3s'")
    try:
        async with serve(database.api_dsn) as url:
            tenant = new_tenant(url)
            created = await tenant.add("a.example.com")

            async def waits() -> Any:
                return await superuser.fetchval(
                    """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND usename = 'nameplate_api' AND datname = current_database()"""
                )

            async with superuser.transaction():
                await superuser.execute("SELECT FROM custom_domains FOR UPDATE")
                deletion = asyncio.create_task(tenant.client.delete(f"/domains/{created.json()['id']}"))
                await eventually(waits)
                await superuser.execute("UPDATE jobs SET run_at = run_at")
            assert (await deletion).status_code == 204
    finally:
        await superuser.execute(f"{setting} RESET deadlock_timeout")
    rolled_back = [entry["error"] for entry in logged if entry["event"] == "transaction_rolled_back"]
    assert set(rolled_back) == {"DeadlockDetectedError"}


async def test_the_api_outlives_its_database(
    state_dir: Path, serve: Callable[..., Any], new_tenant: Callable[..., Tenant], eventually: Callable[..., Any]
) -> None:
    async with Postgres.start(state_dir) as postgres:
        database = await Database.create(postgres, "nameplate")
        async with serve(database.api_dsn) as url:
            tenant = new_tenant(url)
            assert (await tenant.add("a.example.com")).status_code == 201
            await postgres.stop()
            for _ in range(3):
                assert_unavailable(await tenant.client.get("/domains"))
            assert (await tenant.client.get("/domains/x")).status_code == 404
            await postgres.start_again()

            async def works() -> Any:
                response = await tenant.client.get("/domains")
                return response.status_code == 200 and len(response.json()["data"]) == 1

            await eventually(works)
