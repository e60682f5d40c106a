"""The API's resource of endpoints, over HTTP, with its secrets in a real Vault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry
from scenes.notifications import LOOPBACK, Room
from starlette.types import ASGIApp

from api.app import create_app
from api.auth import Principal
from api.endpoints import EVENTS
from api.instructions import Target
from control.domains.tenancy import Tenancy
from control.outbox.endpoints import MAX_ENDPOINTS, TenantEndpoints
from core.hostname import HostnameRules


class TenantHeader:
    """Who calls is what the header says: tokens have their own tests."""

    async def authenticate(self, header: str | None) -> Principal:
        assert header is not None
        return Principal(UUID(header.removeprefix("Bearer ")), "alice")


@pytest.fixture
async def api_pool(database) -> AsyncIterator[asyncpg.Pool[Any]]:
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=8) as pool:
        yield pool


@pytest.fixture
def app(scene: Room, api_pool) -> ASGIApp:
    endpoints = TenantEndpoints(api_pool, scene.secrets, mails=True, allowed=LOOPBACK, insecure=True)
    return create_app(
        None,  # type: ignore[arg-type]  # no domains here
        TenantHeader(),  # type: ignore[arg-type]
        HostnameRules("platform.io"),
        Target("custom.platform.io", ("76.76.21.21",)),
        CollectorRegistry(),
        endpoints=endpoints,
    )


@pytest.fixture
async def client(app) -> AsyncIterator[Callable[[UUID], httpx.AsyncClient]]:
    made: list[httpx.AsyncClient] = []

    def make(tenant: UUID) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {tenant}"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        made.append(httpx.AsyncClient(transport=transport, base_url="http://api/api/v1", headers=headers))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
def tenant() -> UUID:
    return uuid4()


@pytest.fixture
def mine(client, tenant) -> httpx.AsyncClient:
    return client(tenant)


async def make(client: httpx.AsyncClient, address: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/notifications", json={"kind": "webhook", "address": address, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_webhook_is_made_with_a_secret_that_is_shown_once_and_then_told_things(
    mine, tenant, scene, hooks, url, eventually, pool
) -> None:
    made = await make(mine, url("/mine"))
    assert made["secret"].startswith("whsec_")
    assert made["enabled"] is True
    answer = await mine.get(f"/notifications/{made['id']}")
    assert answer.json() == {name: value for name, value in made.items() if name != "secret"}
    assert (await mine.get("/notifications")).json() == {"data": [answer.json()]}
    await scene.happen(tenant, "domain.activate", uuid4(), hostname="a.example")
    async with scene.running():
        [hook] = await eventually(lambda: hooks.hooks)
    assert hook.verified_by(made["secret"])
    dump = str([dict(row) for row in await pool.fetch("SELECT * FROM notification_endpoints")])
    assert made["secret"].removeprefix("whsec_") not in dump


async def test_rotation_gives_a_new_secret_and_the_old_one_signs_for_a_day(
    mine, tenant, scene, hooks, url, eventually
) -> None:
    made = await make(mine, url())
    rotated = (await mine.post(f"/notifications/{made['id']}/rotate-secret")).json()
    assert rotated["secret"] != made["secret"]
    await scene.happen(tenant, "domain.activate", uuid4(), hostname="a.example")
    async with scene.running():
        [hook] = await eventually(lambda: hooks.hooks)
        assert hook.verified_by(made["secret"])
        assert hook.verified_by(rotated["secret"])
        again = (await mine.post(f"/notifications/{made['id']}/rotate-secret")).json()
        await scene.happen(tenant, "domain.activate", uuid4(), hostname="b.example")
        await eventually(lambda: len(hooks.hooks) == 2)
    assert hooks.hooks[1].verified_by(rotated["secret"])
    assert hooks.hooks[1].verified_by(again["secret"])


async def test_a_mailbox_has_no_secret(mine) -> None:
    made = await make(mine, "Ops@Example.com", kind="email", events=["domain.activate", "domain.activate"])
    assert made["secret"] is None
    assert (made["address"], made["events"]) == ("Ops@example.com", ["domain.activate"])
    answer = await mine.post(f"/notifications/{made['id']}/rotate-secret")
    assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_has_no_secret")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"kind": "webhook"}, "missing_field", "/address"),
        ({"kind": "pigeon", "address": "x"}, "kind_unknown", "/kind"),
        ({"kind": "webhook", "address": "https://10.0.0.1/"}, "address_refused", "/address"),
        ({"kind": "webhook", "address": "https://localhost/"}, "address_refused", "/address"),
        ({"kind": "email", "address": "a@b.example\r\nBcc: c@d.example"}, "address_refused", "/address"),
        ({"kind": "email", "address": "a@b.example", "events": ["x"]}, "event_unknown", "/events"),
        ({"kind": "email", "address": "a@b.example", "events": [{}]}, "wrong_type", "/events/0"),
        ({"kind": "email", "address": "a@b.example", "events": "x"}, "wrong_type", "/events"),
        ({"kind": "email", "address": "a@b.example", "secret": "x"}, "unknown_field", "/secret"),
    ],
)
async def test_what_cannot_be_told_is_refused_and_says_why(mine, body, code, pointer) -> None:
    answer = await mine.post("/notifications", json=body)
    assert answer.status_code == 422, answer.text
    assert (answer.json()["code"], answer.json()["pointer"]) == (code, pointer)
    assert (await mine.get("/notifications")).json() == {"data": []}


async def test_every_listed_event_can_be_chosen(mine) -> None:
    made = await make(mine, "a@b.example", kind="email", events=list(EVENTS))
    assert made["events"] == sorted(EVENTS)


async def test_a_tenant_sees_and_touches_nothing_of_anothers(client, mine, tenant, url, scene, api_pool) -> None:
    made = await make(mine, url())
    await scene.happen(tenant, "domain.activate", uuid4(), hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    delivery = await scene.pool.fetchval("SELECT id FROM deliveries")
    other = client(uuid4())
    path = f"/notifications/{made['id']}"
    for method, below in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", f"/deliveries/{delivery}/retry"),
    ):
        answer = await other.request(method, path + below)
        assert (answer.status_code, answer.json()["code"]) == (404, "endpoint_not_found"), (method, below)
    assert (await other.get("/notifications")).json() == {"data": []}

    async def by_hand(connection) -> list[Any]:
        seen = []
        for query in (
            "SELECT id FROM notification_endpoints",
            "SELECT id FROM deliveries",
            "SELECT id FROM outbox",
            "UPDATE notification_endpoints SET withdrawn_at = now() RETURNING id",
        ):
            seen += await connection.fetch(query)
        return seen

    assert await Tenancy(api_pool).transact(Principal(uuid4(), "mallory"), by_hand) == []
    for statement in ("SELECT test_endpoint_v1($1)", "SELECT retry_delivery_v1($1)"):

        async def call(connection, statement=statement) -> Any:
            return await connection.fetchval(statement, UUID(made["id"]))

        if "test" in statement:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await Tenancy(api_pool).transact(Principal(uuid4(), "mallory"), call)
        else:
            assert await Tenancy(api_pool).transact(Principal(uuid4(), "mallory"), call) is False


async def test_a_test_is_sent_at_once_past_what_fails_and_not_too_often(
    mine, tenant, scene, hooks, url, eventually
) -> None:
    made = await make(mine, url())
    hooks.answer = lambda hook: 200 if hook.body["type"] == "notification.test" else 500
    async with scene.running():
        await scene.happen(tenant, "domain.activate", uuid4(), hostname="a.example")
        await eventually(lambda: len(hooks.hooks) == 1)
        answer = await mine.post(f"/notifications/{made['id']}/test")
        assert (answer.status_code, answer.json()["event"]) == (202, "notification.test")
        scene.deliverer.wake()
        await eventually(lambda: len(hooks.hooks) == 2)
        assert hooks.hooks[1].id == answer.json()["messageId"]
        answer = await mine.post(f"/notifications/{made['id']}/test")
        assert (answer.status_code, answer.json()["code"]) == (429, "test_too_soon")
        assert 1 <= int(answer.headers["retry-after"]) <= 10

        async def delivered():
            found = (await mine.get(f"/notifications/{made['id']}/deliveries?state=delivered")).json()["data"]
            return [entry["event"] for entry in found] == ["notification.test"]

        await eventually(delivered)


async def test_a_dead_letter_is_shown_and_sent_once_more_under_its_old_id(
    mine, tenant, scene, hooks, url, eventually
) -> None:
    made = await make(mine, url())
    path = f"/notifications/{made['id']}/deliveries"
    hooks.answer = 500
    await scene.happen(tenant, "domain.activate", uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: len(hooks.hooks) == 1)

        async def dead():
            scene.pass_time(timedelta(days=4))
            return (await mine.get(f"{path}?state=dead")).json()["data"]

        [entry] = await eventually(dead)
        assert entry["lastFailure"]["status"] == 500
        assert entry["settledAt"]
        scene.clock.ahead = timedelta(0)
        assert (await mine.post(f"{path}/{uuid4()}/retry")).json()["code"] == "delivery_not_found"
        hooks.answer = 200
        answer = await mine.post(f"{path}/{entry['id']}/retry")
        assert (answer.status_code, answer.json()["state"]) == (202, "pending")
        scene.deliverer.wake()

        async def delivered():
            return [each["state"] for each in (await mine.get(path)).json()["data"]] == ["delivered"]

        await eventually(delivered)
        assert (await mine.post(f"{path}/{entry['id']}/retry")).json()["code"] == "delivery_not_found"
    assert len({hook.id for hook in hooks.hooks}) == 1


async def test_a_deleted_endpoint_is_gone_at_once_and_its_secret_soon(mine, scene, url, eventually, pool) -> None:
    made = await make(mine, url())
    assert (await mine.delete(f"/notifications/{made['id']}")).status_code == 204
    assert (await mine.get(f"/notifications/{made['id']}")).status_code == 404
    assert (await mine.delete(f"/notifications/{made['id']}")).status_code == 404
    assert (await mine.get("/notifications")).json() == {"data": []}
    await pool.execute("UPDATE notification_endpoints SET withdrawn_at = now() - interval '2 minutes'")
    async with scene.running():

        async def gone():
            return await scene.vault.read(f"nameplate/notifications/{made['id']}") is None

        await eventually(gone)


async def test_a_tenant_has_so_many_endpoints_and_no_more(mine, url) -> None:
    for number in range(MAX_ENDPOINTS):
        await make(mine, f"a{number}@b.example", kind="email")
    answer = await mine.post("/notifications", json={"kind": "webhook", "address": url()})
    assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_limit_reached")


async def test_without_vault_no_webhook_is_made_and_nothing_is_left_in_use(
    mine, scene, url, pool, vault_mount, background
) -> None:
    scene.vault._address = "http://127.0.0.1:9"
    answer = await mine.post("/notifications", json={"kind": "webhook", "address": url()})
    assert (answer.status_code, answer.json()["code"]) == (503, "secrets_unavailable")
    assert (await mine.get("/notifications")).json() == {"data": []}
    assert await pool.fetchval("SELECT count(*) FROM notification_endpoints WHERE withdrawn_at IS NULL") == 0


async def test_paths_that_are_no_ids(mine) -> None:
    for path in ("x", "00000000000000000000000000000000", str(uuid4())):
        answer = await mine.get(f"/notifications/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "endpoint_not_found")


async def test_a_tenants_tests_are_counted_beyond_the_life_of_an_endpoint(mine, client, monkeypatch) -> None:
    """Whoever makes an endpoint, tests it and deletes it in a loop would fill a stranger's mailbox."""
    monkeypatch.setattr("control.outbox.endpoints.MAX_TESTS", 2)

    async def tested(caller: httpx.AsyncClient) -> httpx.Response:
        body = {"kind": "email", "address": "stranger@example.com"}
        made = (await caller.post("/notifications", json=body)).json()
        response = await caller.post(f"/notifications/{made['id']}/test")
        assert (await caller.delete(f"/notifications/{made['id']}")).status_code == 204
        return response

    assert [(await tested(mine)).is_success for _ in range(2)] == [True, True]
    refused = await tested(mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "test_too_soon")
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert (await tested(client(uuid4()))).is_success, "another tenant's are its own"
