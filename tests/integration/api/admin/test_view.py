"""The operator's view over HTTP: whose it is, what it takes, and that its lists go on where they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes import overview as scene
from scenes.operators import Admin, client, refused

from api.operations.overview import OPERATIONS
from embedded.database import Database

GETS = [operation.path for operation in OPERATIONS if operation.method == "GET"]


@pytest.fixture
def watched(workers: asyncpg.Pool[Any]) -> scene.Watched:
    return scene.watched(workers)


@pytest.fixture
async def admin(database: Database, serve: Callable[..., Any], issuer: Any, watched: Any) -> AsyncIterator[Admin]:
    await _forget(database)
    async with (
        serve(database.api_dsn, overview=watched.overview) as url,
        client(url, issuer.token(None, sub="root@platform", scope="nameplate:admin")) as one,
    ):
        yield Admin(url, one)


async def _forget(database: Database) -> None:
    connection = await asyncpg.connect(database.control_dsn)
    try:
        await connection.execute("DELETE FROM overview_figures")
        await connection.execute("DELETE FROM control_replicas")
    finally:
        await connection.close()


def filled(path: str) -> str:
    return path.replace("{id}", str(uuid4())).replace("{delivery}", str(uuid4()))


async def test_a_tenant_is_shown_nothing_of_it(admin: Admin, issuer: Any) -> None:
    async with client(admin.url, issuer.token(uuid4(), scope="nameplate:admins openid")) as tenant:
        for operation in OPERATIONS:
            answer = await tenant.request(operation.method, filled(operation.path), params={"host": "shop.test"})
            assert refused(answer)[:2] == (403, "admin_only"), operation.name


async def test_without_a_token_nobody_is(admin: Admin) -> None:
    for operation in OPERATIONS:
        answer = await admin.client.request(operation.method, filled(operation.path), headers={"Authorization": ""})
        assert answer.status_code == 401


async def test_where_it_is_not_offered_it_says_so(database: Database, serve: Callable[..., Any], issuer: Any) -> None:
    async with serve(database.api_dsn) as url, client(url, issuer.token(None, scope="nameplate:admin")) as one:
        for path in GETS:
            assert refused(await one.get(filled(path)))[:2] == (503, "admin_unavailable")


async def test_an_empty_installation_is_shown_and_what_it_lacks(admin: Admin) -> None:
    body = (await admin.client.get("/admin/overview")).json()
    assert [one["code"] for one in body["problems"]] == ["no_sidecar"]
    assert body["problems"][0]["command"] == "nameplate doctor"
    assert (body["figures"]["domains"], body["sidecars"]["live"], body["replica"]) == (0, 0, "control-1")
    assert (await admin.client.get("/admin/sidecars")).json()["data"] == []
    assert [one["ca"] for one in (await admin.client.get("/admin/limits")).json()["data"]] == ["first", "second"]
    assert (await admin.client.get("/admin/explain", params={"host": "shop.test"})).json()["sidecars"] == []


async def test_any_tenants_domain_is_found_with_what_its_tenant_is_not_told(admin: Admin, control: Any) -> None:
    inside = scene.finding("vault_unavailable", "operator", "vault-1.internal does not answer.", address="10.0.0.7")
    acme = await scene.tenant(control, "acme")
    domain_id = await scene.domain(control, acme, "shop.mybrand.co", ssl_status="error", ssl_finding=inside)
    (row,) = (await admin.client.get("/admin/domains", params={"q": "MyBrand.co"})).json()["data"]
    assert (row["id"], row["slug"], row["tenant"]) == (str(domain_id), "acme", str(acme))
    assert row["reason"]["message"] == "vault-1.internal does not answer."
    whole = (await admin.client.get(f"/admin/domains/{domain_id}")).json()
    assert whole["ssl"]["detail"] == {"address": "10.0.0.7"}
    assert refused(await admin.client.get(f"/admin/domains/{uuid4()}"))[:2] == (404, "domain_not_found")
    assert refused(await admin.client.get("/admin/domains/1"))[:2] == (404, "domain_not_found")


async def test_a_list_goes_on_where_it_ended(admin: Admin, control: Any) -> None:
    acme = await scene.tenant(control, "acme")
    names = [f"n{number}.test" for number in range(7)]
    for name in names:
        await scene.domain(control, acme, name)
        await scene.audited(control, acme, name, "tenant:alice", "add")
        await scene.dead_letter(control, acme, f"https://{name}/hook")
    for path, query in (
        ("/admin/domains", {"status": "active"}),
        ("/admin/domains", {"q": ".test"}),
        ("/admin/domains", {}),
        ("/admin/audit", {"action": "add"}),
        ("/admin/deliveries", {}),
    ):
        seen: list[Any] = []
        following = f"{path}?limit=3" + "".join(f"&{name}={value}" for name, value in query.items())
        while following:
            answer = await admin.client.get(following)
            seen += [row["id"] for row in answer.json()["data"]]
            link = answer.links.get("next", {}).get("url", "")
            assert (answer.json()["nextCursor"] is not None) == bool(link)
            following = link.removeprefix("/api/v1")
        assert len(seen) == len(set(seen)) == 7, path


async def test_a_cursor_is_of_one_list(admin: Admin, control: Any) -> None:
    acme = await scene.tenant(control, "acme")
    for number in range(3):
        await scene.domain(control, acme, f"n{number}.test", ssl_status="error")
    cursor = (await admin.client.get("/admin/domains?limit=1")).json()["nextCursor"]
    for query in ("status=active&", "failing=any&", "q=n&"):
        answer = await admin.client.get(f"/admin/domains?{query}cursor={cursor}")
        assert refused(answer)[:2] == (422, "filters_conflict")
    for wrong in ("", "x", cursor[:-1], cursor + "A", "A" * 2000, "%00"):
        assert refused(await admin.client.get(f"/admin/domains?cursor={wrong}"))[:2] in {
            (400, "invalid_cursor"),
            (400, "invalid_parameter"),
        }


@pytest.mark.parametrize(
    "query",
    [
        "domains?status=none",
        "domains?late=yes",
        "domains?expiring=399",
        "domains?tenant=" + "0" * 32,
        "domains?failing=A",
        "domains?limit=101",
        "domains?q=" + "a" * 254,
        "domains?q=%01",
        "domains?state=dead",
        "audit?since=2026-13-01",
        "audit?action=%27",
        "audit?hostname=",
        "deliveries?state=gone",
        "explain",
        "explain?host=",
        "explain?host=a&path=b",
        "explain?host=a&load=1",
        "explain?host=%00",
        "overview?x=1",
        "sidecars?limit=1",
    ],
)
async def test_what_cannot_be_asked_is_refused(admin: Admin, query: str) -> None:
    answer = await admin.client.get(f"/admin/{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_parameter", "unknown_parameter")


@pytest.mark.parametrize(
    "query",
    ["domains?sslStatus=issued", "domains?q=a&late=true", "domains?who=tenant", "domains?paused=true&status=failed"],
)
async def test_filters_that_do_not_go_together(admin: Admin, query: str) -> None:
    assert refused(await admin.client.get(f"/admin/{query}"))[:2] == (422, "filters_conflict")


async def test_a_time_beyond_all_rows_is_no_mistake(admin: Admin) -> None:
    for query in ("until=0001-01-01T00:00:00%2B23:00", "since=9999-12-31T23:59:59-23:00", "since=2026-04-22"):
        assert (await admin.client.get(f"/admin/audit?{query}")).json() == {"data": [], "nextCursor": None}


async def test_a_sidecar_that_nobody_hears_cannot_be_asked(admin: Admin) -> None:
    answer = await admin.client.get("/admin/explain", params={"host": "shop.test", "sidecar": "none"})
    assert refused(answer)[:2] == (404, "sidecar_not_found")


async def test_a_dead_letter_is_sent_once_more(admin: Admin, control: Any) -> None:
    acme = await scene.tenant(control, "acme")
    delivery = await scene.dead_letter(control, acme, "https://hooks.test/secret")
    answer = await admin.client.post(f"/admin/deliveries/{delivery}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert "secret" not in answer.text
    for missing in (str(delivery), str(uuid4()), "1"):
        answer = await admin.client.post(f"/admin/deliveries/{missing}/retry")
        assert refused(answer)[:2] == (404, "delivery_not_found")
    (entry,) = (await admin.client.get("/admin/audit?action=delivery_retry")).json()["data"]
    assert (entry["actor"], entry["tenant"]) == ("operator:root@platform", str(UUID(int=0)))
    assert entry["chain"]["state"] == "sealed"


async def test_a_database_that_is_away_is_said_to_be(
    serve: Callable[..., Any], issuer: Any, database: Database, watched: Any, workers: asyncpg.Pool[Any]
) -> None:
    await workers.close()
    async with (
        serve(database.api_dsn, overview=watched.overview) as url,
        client(url, issuer.token(None, scope="nameplate:admin")) as one,
    ):
        for path in GETS:
            answer = await one.get(filled(path), params={"host": "a.test"} if "explain" in path else {})
            assert refused(answer)[:2] == (503, "database_unavailable"), path
