"""POST /domains/import, GET /quota and what may be registered, through uvicorn, on a real database."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from scenes.problems import assert_problem

from api.instructions import Target
from api.openapi import document
from embedded.database import Database

Tenant = Any  # tests/integration/api/conftest.py
JSON = {"Content-Type": "application/json"}
REPORT = jsonschema_rs.validator_for(
    {"$ref": "#/components/schemas/ImportReport", "components": document()["components"]}, validate_formats=True
)
MANY = 1000


async def imported(tenant: Tenant, *hostnames: Any, **headers: str) -> dict[str, Any]:
    response = await tenant.client.post("/domains/import", json={"hostnames": hostnames}, headers=headers)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    REPORT.validate(report)
    results = [line["result"] for line in report["lines"]]
    assert [line["line"] for line in report["lines"]] == list(range(1, len(hostnames) + 1))
    assert [report[kind] for kind in ("created", "existing", "failed")] == [
        results.count(result) for result in ("created", "exists", "error")
    ]
    return report


def told(report: dict[str, Any]) -> list[str]:
    """The result of each line, or its code."""
    return [line["problem"]["code"] if "problem" in line else line["result"] for line in report["lines"]]


@pytest.fixture
async def ample(
    database: Database, serve: Callable[..., Any], new_tenant: Callable[..., Tenant]
) -> AsyncIterator[Tenant]:
    """A tenant whose plan allows many domains."""
    async with serve(database.api_dsn, max_domains=2 * MANY) as url:
        yield new_tenant(url)


# --- the report


async def test_each_line_has_its_own_answer(tenant: Tenant, other: Tenant, control: Any) -> None:
    mine = (await tenant.add("mine.example.com")).json()["id"]
    await other.add("taken.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active' WHERE tenant_id = $1", other.id)
    report = await imported(
        tenant,
        "Shop.Example.com.",
        "https://shop.example.com/",
        "mine.example.com",
        7,
        "taken.example.com",
        "shop.example.com",
        "*.example.com",
        "bücher.example.com",
        "a" * 5000,
    )
    assert told(report) == [
        "created",
        "has_scheme_or_path",
        "exists",
        "wrong_type",
        "hostname_taken",
        "hostname_repeated",
        "wildcard_unsupported",
        "created",
        "hostname_too_long",
    ]
    lines = report["lines"]
    assert lines[0]["hostname"] == lines[5]["hostname"] == "shop.example.com"
    shown = (await tenant.client.get(f"/domains/{lines[0]['registration']['id']}")).json()
    assert lines[0]["registration"].items() <= shown.items()
    assert lines[0]["domain"] == f"/api/v1/domains/{lines[0]['registration']['id']}"
    assert lines[2]["domain"] == f"/api/v1/domains/{mine}"
    assert "Line 1 " in lines[5]["problem"]["detail"]
    assert lines[7]["hostname"] == "xn--bcher-kva.example.com"
    assert [line["problem"]["pointer"] for line in lines if "problem" in line] == [
        f"/hostnames/{n}" for n in (1, 3, 4, 5, 6, 8)
    ]
    assert await control.fetchval("SELECT count(*) FROM jobs WHERE kind = 'verify'") == 4
    assert await control.fetchval("SELECT count(*) FROM audit WHERE action = 'add'") == 4
    assert await control.fetchval("SELECT count(*) FROM outbox WHERE event = 'domain.add'") == 4


async def test_the_codes_are_those_of_a_single_registration(tenant: Tenant) -> None:
    names = ["192.0.2.1", "co.uk", "", "x.blocked.example", "a..b.com", "shop.example.com:1", "*.co.uk", "platform.io"]
    report = await imported(tenant, *names)
    for name, line in zip(names, report["lines"], strict=True):
        single = (await tenant.add(name)).json()
        assert {**line["problem"], "pointer": "/hostname"} == single


@pytest.mark.parametrize("seed", range(4))
async def test_a_list_is_answered_as_its_lines_would_be_one_by_one(
    tenant: Tenant, new_tenant: Callable[..., Tenant], control: Any, seed: int
) -> None:
    draw = random.Random(seed)
    holder, alone = new_tenant(), new_tenant()
    taken = [f"t{n}.example.com" for n in range(3)]
    await imported(holder, *taken)
    await control.execute("UPDATE custom_domains SET status = 'active'")
    pool = [*taken, *(f"d{n}.example.com" for n in range(8)), "x", "a_b.example.com", "*.example.com", "192.0.2.1"]
    names = draw.sample(pool, k=len(pool))
    for name in draw.sample(names, k=2):  # had before
        for each in (tenant, alone):
            await each.add(name)
    singly = []
    for name in names:
        response = await alone.add(name)
        singly.append("created" if response.status_code == 201 else response.json()["code"])
    together = ["domain_exists" if result == "exists" else result for result in told(await imported(tenant, *names))]
    assert together == singly
    assert {"created", "hostname_taken", "domain_limit_reached"} & set(together)


async def test_the_quota_is_checked_as_it_goes(tenant: Tenant) -> None:
    await tenant.add("first.example.com")
    names = [f"d{n}.example.com" for n in range(6)]
    report = await imported(tenant, *names[:2], "first.example.com", "x", *names[2:])
    assert told(report) == [
        *["created"] * 2,
        "exists",
        "single_label",
        *["created"] * 2,
        *["domain_limit_reached"] * 2,
    ]
    assert (await tenant.client.get("/quota")).json()["remaining"] == 0


async def test_parallel_imports_do_not_exceed_the_limit(tenant: Tenant, control: Any) -> None:
    reports = await asyncio.gather(*(imported(tenant, *(f"d{n}.example.com" for n in range(4))) for _ in range(4)))
    assert sum(report["created"] for report in reports) == 4
    assert sum(report["existing"] for report in reports) == 12
    reports = await asyncio.gather(*(imported(tenant, *(f"p{p}-{n}.example.com" for n in range(4))) for p in range(4)))
    assert sum(report["created"] for report in reports) == 1
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 5


async def test_a_thousand_hostnames_are_one_request(ample: Tenant, control: Any) -> None:
    labels = ["a" * 49] * 4
    names = [".".join([f"d{n:04}", *labels, "example.com"]) for n in range(MANY)]
    report = await imported(ample, *names)
    assert report["created"] == MANY
    assert await control.fetchval("SELECT count(*) FROM jobs WHERE kind = 'verify'") == MANY
    assert await control.fetchval("SELECT count(DISTINCT verification_token) FROM custom_domains") == MANY
    assert [line["registration"]["hostname"] for line in report["lines"]] == names
    assert (await imported(ample, *names))["existing"] == MANY


async def test_an_empty_list_is_an_empty_report(tenant: Tenant) -> None:
    assert await imported(tenant) == {"created": 0, "existing": 0, "failed": 0, "lines": []}


# --- bodies


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b'["a.example.com"]', 422, "wrong_type"),
        (b"{}", 422, "missing_field"),
        (b'{"hostnames": "a.example.com"}', 422, "wrong_type"),
        (b'{"hostnames": null}', 422, "wrong_type"),
        (b'{"hostnames": {"0": "a.example.com"}}', 422, "wrong_type"),
        (b'{"hostnames": [], "hostname": "a.example.com"}', 422, "unknown_field"),
        (b'{"hostnames": ["a.example.com", "\\ud800"]}', 400, "invalid_json"),
        (b'{"hostnames": [["\\udfff"]]}', 400, "invalid_json"),
        (b'{"hostnames": [' + b"[" * 30 + b"]" * 30 + b"]}", 400, "invalid_json"),
        (json.dumps({"hostnames": ["x"] * (MANY + 1)}).encode(), 422, "list_too_long"),
        (b'{"hostnames": ["' + b"a" * 600_000 + b'"]}', 413, "body_too_large"),
    ],
)
async def test_a_bad_body_is_refused_whole(tenant: Tenant, control: Any, body: bytes, status: int, code: str) -> None:
    response = await tenant.client.post("/domains/import", content=body, headers=JSON)
    problem = assert_problem(response, status, code)
    if status == 422:
        assert problem["pointer"] in ("", "/hostnames", "/hostname")
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 0


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, ["a.example.com"], {"hostname": "a.example.com"}])
async def test_a_line_that_is_no_text_spoils_no_other(tenant: Tenant, value: Any) -> None:
    report = await imported(tenant, value, "a.example.com")
    assert told(report) == ["wrong_type", "created"]
    assert report["lines"][0]["hostname"] is None


async def test_import_is_no_domain(tenant: Tenant) -> None:
    response = await tenant.client.get("/domains/import")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "OPTIONS, POST"


# --- idempotency


async def test_a_repeated_key_replays_the_report(tenant: Tenant, control: Any) -> None:
    body = {"hostnames": ["a.example.com", "b.example.com", 7]}
    first = await tenant.client.post("/domains/import", json=body, headers={"Idempotency-Key": "k"})
    again = await tenant.client.post("/domains/import", json=body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert (first.json()["created"], "idempotent-replayed" in first.headers) == (2, False)
    assert again.headers["idempotent-replayed"] == "true"
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 2
    for other in (["b.example.com", "a.example.com", 7], ["a.example.com", "b.example.com", "7"]):
        response = await tenant.client.post(
            "/domains/import", json={"hostnames": other}, headers={"Idempotency-Key": "k"}
        )
        assert_problem(response, 422, "idempotency_key_reused")
    assert_problem(await tenant.add("a.example.com", **{"Idempotency-Key": "k"}), 422, "idempotency_key_reused")


async def test_parallel_imports_with_one_key_are_one(tenant: Tenant) -> None:
    reports = await asyncio.gather(
        *(imported(tenant, "a.example.com", "b.example.com", **{"Idempotency-Key": "same"}) for _ in range(8))
    )
    assert all(report == reports[0] for report in reports)
    assert reports[0]["created"] == 2


# --- other tenants


async def test_a_name_that_was_given_up_cools_down(tenant: Tenant, other: Tenant, control: Any) -> None:
    domain_id = (await other.add("shop.example.com")).json()["id"]
    await control.execute("UPDATE custom_domains SET status = 'active', ssl_status = 'issued'")
    assert (await other.client.delete(f"/domains/{domain_id}")).status_code == 204
    refused = await tenant.add("shop.example.com")
    assert_problem(refused, 409, "hostname_cooling_down")
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    (line,) = (await imported(tenant, "shop.example.com"))["lines"]
    assert line["problem"]["code"] == "hostname_cooling_down"
    assert 86_000 < line["problem"]["retryAfter"] <= 86_400
    assert (await other.add("shop.example.com")).status_code == 201  # it was theirs
    await control.execute("UPDATE custom_domains SET deleted_at = deleted_at - interval '1 day'")
    assert (await tenant.add("shop.example.com")).status_code == 201


async def test_a_taken_line_asks_for_a_look_at_its_holder(tenant: Tenant, other: Tenant, control: Any) -> None:
    await other.add("shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active', look_at = now() + interval '6 hours'")
    assert told(await imported(tenant, "shop.example.com", "a.example.com")) == ["hostname_taken", "created"]
    assert await control.fetchval("SELECT look_at <= now() FROM custom_domains WHERE tenant_id = $1", other.id)


# --- wildcards


async def test_a_wildcard_is_taken_where_dns_01_is_offered(
    database: Database, serve: Callable[..., Any], new_tenant: Callable[..., Tenant], control: Any
) -> None:
    target = Target("custom.platform.io", acme_zone="acme.platform.io")
    longest = ".".join([*["a" * 49] * 5, "com"])
    async with serve(database.api_dsn, target=target) as url:
        tenant = new_tenant(url)
        created = await tenant.add("*.Example.com")
        assert created.status_code == 201, created.text
        body = created.json()
        label = await control.fetchval("SELECT acme_label FROM custom_domains WHERE id = $1", UUID(body["id"]))
        assert body["hostname"] == "*.example.com"
        assert body["instructions"]["verification"]["name"] == "_platform-verify.example.com"
        assert body["instructions"]["challenge"] == {
            "type": "CNAME",
            "name": "_acme-challenge.example.com",
            "value": f"{label}.acme.platform.io",
        }
        shown = (await tenant.client.get(f"/domains/{body['id']}")).json()
        assert shown["challenges"] == ["dns-01"]
        shop = (await tenant.add("shop.example.com")).json()
        assert (await tenant.client.get(f"/domains/{shop['id']}")).json()["challenges"] == ["http-01", "dns-01"]
        assert_problem(await tenant.add("*." + longest[3:]), 422, "hostname_too_long")
        assert "challenge" not in (await tenant.add(longest)).json()["instructions"]
        assert_problem(await tenant.add("*.co.uk"), 422, "wildcard_public_suffix")
        assert_problem(await tenant.add("*.platform.io"), 422, "platform_domain")


# --- quota


async def test_the_quota_counts_by_status(tenant: Tenant, control: Any) -> None:
    empty = dict.fromkeys(("pending", "dns_check", "verified", "active", "failed", "moved"), 0)
    registrations = {"hours": 24, "limit": 50, "used": 0, "remaining": 50}
    assert (await tenant.client.get("/quota")).json() == {
        "limit": 5,
        "used": 0,
        "remaining": 5,
        "byStatus": empty,
        "registrations": registrations,
    }
    report = await imported(tenant, "a.example.com", "b.example.com", "c.example.com")
    ids = [line["registration"]["id"] for line in report["lines"]]
    await tenant.client.delete(f"/domains/{ids[0]}")
    await control.execute("UPDATE custom_domains SET status = 'active' WHERE id = $1", UUID(ids[1]))
    assert (await tenant.client.get("/quota")).json() == {
        "limit": 5,
        "used": 2,
        "remaining": 3,
        "byStatus": {**empty, "pending": 1, "active": 1},
        "registrations": {**registrations, "used": 3, "remaining": 47},
    }
    await control.execute("UPDATE tenants SET max_domains = 1")
    shown = (await tenant.client.get("/quota")).json()
    assert (shown["limit"], shown["used"], shown["remaining"]) == (1, 2, 0)
    assert shown["registrations"] == {"hours": 24, "limit": 10, "used": 3, "remaining": 7}


async def test_a_loop_of_registering_and_deleting_has_an_end(tenant: Tenant, control: Any) -> None:
    await tenant.add("first.example.com")
    await control.execute("UPDATE tenants SET max_domains = 1")
    await control.execute("UPDATE custom_domains SET deleted_at = now(), created_at = now() - interval '3 hours'")
    for number in range(9):
        created = await tenant.add(f"d{number}.example.com")
        assert created.status_code == 201, created.text
        await tenant.client.delete(f"/domains/{created.json()['id']}")
    refused = await tenant.add("last.example.com")
    assert "10" in assert_problem(refused, 429, "registrations_too_many")["detail"]
    assert 75_000 < int(refused.headers["retry-after"]) <= 75_600  # 21 hours
    (line,) = (await imported(tenant, "last.example.com"))["lines"]
    assert (line["problem"]["code"], line["problem"]["retryAfter"] > 75_000) == ("registrations_too_many", True)
    await control.execute("UPDATE custom_domains SET created_at = created_at - interval '1 day'")
    assert (await tenant.add("last.example.com")).status_code == 201


async def test_an_import_ends_at_the_days_last_registration(tenant: Tenant, control: Any) -> None:
    report = await imported(tenant, "a.example.com")
    await control.execute("UPDATE custom_domains SET deleted_at = now()")
    await control.execute(
        """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, deleted_at)
           SELECT $1, 'gone.example.com', 't', now(), now() FROM generate_series(1, 47)""",
        tenant.id,
    )
    report = await imported(tenant, *(f"d{n}.example.com" for n in range(4)))
    assert told(report) == ["created", "created", "registrations_too_many", "registrations_too_many"]
