"""Listing, showing, verifying and deleting, through uvicorn, on a real database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.problems import assert_problem

from api.representation import timestamp
from core.domain import Finding

Tenant = Any  # tests/integration/api/conftest.py


async def added(tenant: Tenant, hostname: str) -> str:
    response = await tenant.add(hostname)
    assert response.status_code == 201
    return str(response.json()["id"])


async def set_status(control: asyncpg.Connection[Any], domain_id: str, status: str, ssl: str = "none") -> None:
    await control.execute(
        "UPDATE custom_domains SET status = $2, ssl_status = $3 WHERE id = $1", UUID(domain_id), status, ssl
    )


# --- detail


async def test_a_pending_domain_shows_what_is_missing(tenant: Tenant) -> None:
    created = (await tenant.add("shop.example.com")).json()
    response = await tenant.client.get(f"/domains/{created['id']}")
    body = response.json()
    nothing = {"checkedAt": None, "code": None, "message": None, "who": None, "detail": None}
    assert body == {
        **created,
        "updatedAt": created["createdAt"],
        "ready": False,
        "verification": {"method": None, "deadline": body["verification"]["deadline"], **nothing},
        "ssl": nothing,
        "certificate": None,
        "certificateWarning": None,
        "certExpiry": None,
        "renewAt": None,
        "challenges": ["http-01"],
        "failureCount": 0,
        "nextAttempt": None,
    }
    window = datetime.fromisoformat(body["verification"]["deadline"]) - datetime.fromisoformat(body["createdAt"])
    assert window == timedelta(hours=72)
    assert response.headers["cache-control"] == "no-store"


async def test_the_findings_and_the_certificate_are_shown(tenant: Tenant, control: asyncpg.Connection[Any]) -> None:
    domain_id = await added(tenant, "shop.example.com")
    at = datetime.now(UTC).replace(microsecond=4000)
    expiry = timestamp(at + timedelta(days=90))
    dns = Finding("txt_missing", "There is no TXT record.", "tenant", at, {"found": ["x"]})
    ssl = Finding("rate_limited", "The CA asks us to wait.", "ca", at, {})
    certificate = await control.fetchval(
        """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
               directory_url) VALUES ($1, 'ab', 'CA', repeat('f', 64), $2, $3, 1, 'x') RETURNING id""",
        UUID(domain_id),
        at,
        at + timedelta(days=90),
    )
    await control.execute(
        """UPDATE custom_domains SET dns_finding = $2, ssl_finding = $3, certificate_id = $4, cert_expiry = $5,
               status = 'active', ssl_status = 'issued', verified_by = 'txt', failure_count = 2 WHERE id = $1""",
        UUID(domain_id),
        dns.to_json(),
        ssl.to_json(),
        certificate,
        at + timedelta(days=90),
    )
    body = (await tenant.client.get(f"/domains/{domain_id}")).json()
    assert body["ready"] is True
    assert body["verification"] == {
        "method": "txt",
        "deadline": body["verification"]["deadline"],
        "checkedAt": timestamp(at),
        "code": "txt_missing",
        "message": "There is no TXT record.",
        "who": "tenant",
        "detail": {"found": ["x"]},
    }
    assert (body["ssl"]["code"], body["ssl"]["who"]) == ("rate_limited", "ca")
    assert body["certificate"] == {
        "source": "managed",
        "serial": "ab",
        "issuer": "CA",
        "fingerprint": "f" * 64,
        "notBefore": timestamp(at),
        "notAfter": expiry,
    }
    assert body["certExpiry"] == expiry
    assert body["failureCount"] == 2


@pytest.mark.parametrize(
    "path",
    [
        "/domains/{unknown}",
        "/domains/{foreign}",
        "/domains/1",
        "/domains/{own_without_hyphens}",
        "/domains/urn:uuid:{own}",
        "/domains/%00",
        "/domains/{own}%0A",
    ],
)
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/verify"), ("POST", "/verify")])
async def test_what_is_not_ones_own_is_not_found(
    tenant: Tenant, other: Tenant, path: str, method: str, suffix: str
) -> None:
    own, foreign = await added(tenant, "own.example.com"), await added(other, "foreign.example.com")
    url = path.format(own=own, foreign=foreign, unknown=uuid4(), own_without_hyphens=own.replace("-", "")) + suffix
    problem = assert_problem(await tenant.client.request(method, url), 404, "domain_not_found")
    assert foreign not in json.dumps(problem)


async def test_an_id_may_be_written_in_capitals(tenant: Tenant) -> None:
    own = await added(tenant, "own.example.com")
    assert (await tenant.client.get(f"/domains/{own.upper()}")).status_code == 200


# --- list


async def test_the_list_goes_page_by_page(tenant: Tenant, other: Tenant, url: str) -> None:
    names = [f"d{number}.example.com" for number in range(5)]
    for name in names:
        await added(tenant, name)
    await added(other, "foreign.example.com")
    seen = []
    path = "/api/v1/domains?limit=2"
    pages = 0
    while path:
        response = await tenant.client.get(url + path)
        assert response.status_code == 200
        body = response.json()
        assert list(body) == ["data", "nextCursor"]
        seen += [domain["hostname"] for domain in body["data"]]
        pages += 1
        link = response.headers.get("link")
        assert (link is None) == (body["nextCursor"] is None)
        path = ""
        if link is not None:
            assert link.endswith('>; rel="next"')
            path = link[1 : link.index(">")]
            assert body["nextCursor"] in path
            assert "limit=2" in path
    assert (seen, pages) == (names, 3)


async def test_a_page_that_ends_with_the_list_has_no_next(tenant: Tenant) -> None:
    for number in range(2):
        await added(tenant, f"d{number}.example.com")
    assert (await tenant.client.get("/domains?limit=2")).json()["nextCursor"] is None


async def test_the_list_is_of_one_status_on_every_page(tenant: Tenant, control: asyncpg.Connection[Any]) -> None:
    ids = [await added(tenant, f"d{number}.example.com") for number in range(5)]
    for domain_id in ids[::2]:
        await set_status(control, domain_id, "active", "issued")
    first = (await tenant.client.get("/domains", params={"status": "active", "limit": 2})).json()
    rest = await tenant.client.get("/domains", params={"status": "active", "limit": 2, "cursor": first["nextCursor"]})
    assert [domain["id"] for domain in first["data"] + rest.json()["data"]] == ids[::2]


async def test_an_unknown_tenant_has_an_empty_list(tenant: Tenant, control: asyncpg.Connection[Any]) -> None:
    assert (await tenant.client.get("/domains")).json() == {"data": [], "nextCursor": None}
    assert await control.fetchval("SELECT count(*) FROM tenants") == 0


async def test_the_items_of_the_list_are_the_details(tenant: Tenant) -> None:
    domain_id = await added(tenant, "shop.example.com")
    listed = (await tenant.client.get("/domains")).json()["data"]
    assert listed == [(await tenant.client.get(f"/domains/{domain_id}")).json()]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_parameter"),
        ("limit=101", "invalid_parameter"),
        ("limit=-1", "invalid_parameter"),
        ("limit=1e1", "invalid_parameter"),
        ("limit=٣", "invalid_parameter"),
        ("limit=", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("status=gone", "invalid_parameter"),
        ("status=", "invalid_parameter"),
        ("page=2", "unknown_parameter"),
        ("Limit=2", "unknown_parameter"),
        ("cursor=", "invalid_cursor"),
        ("cursor=AAAA", "invalid_cursor"),
        ("cursor=" + "A" * 38, "invalid_cursor"),
        ("cursor=%00", "invalid_cursor"),
        ("x=" + "a" * 3000, "invalid_parameter"),
    ],
)
async def test_a_bad_query_is_refused(tenant: Tenant, query: str, code: str) -> None:
    assert_problem(await tenant.client.get(f"/domains?{query}"), 400, code)


# --- verify


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_verify_asks_for_a_look_and_not_again_at_once(tenant: Tenant, method: str) -> None:
    domain_id = await added(tenant, "shop.example.com")
    response = await tenant.client.request(method, f"/domains/{domain_id}/verify")
    assert response.status_code == 202
    assert response.json()["id"] == domain_id
    assert response.headers["cache-control"] == "no-store"
    again = await tenant.client.request(method, f"/domains/{domain_id}/verify")
    assert_problem(again, 429, "verification_too_soon")
    assert 1 <= int(again.headers["retry-after"]) <= 5


@pytest.mark.parametrize(("status", "ssl"), [("verified", "validating"), ("active", "issued")])
async def test_verify_has_nothing_to_do_for_a_proven_domain(
    tenant: Tenant, control: asyncpg.Connection[Any], status: str, ssl: str
) -> None:
    domain_id = await added(tenant, "shop.example.com")
    await set_status(control, domain_id, status, ssl)
    for _ in range(2):
        response = await tenant.client.post(f"/domains/{domain_id}/verify")
        assert (response.status_code, response.json()["status"]) == (200, status)


async def test_verify_restarts_a_failed_domain(tenant: Tenant, control: asyncpg.Connection[Any]) -> None:
    domain_id = await added(tenant, "shop.example.com")
    await set_status(control, domain_id, "failed")
    await control.execute("UPDATE custom_domains SET verify_deadline = now() - interval '1 hour'")
    response = await tenant.client.post(f"/domains/{domain_id}/verify")
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    deadline = datetime.fromisoformat(response.json()["verification"]["deadline"])
    assert deadline > datetime.now(UTC) + timedelta(hours=71)


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"", {}, None),
        (b"", {"Content-Type": "text/plain"}, None),
        (b"{}", {"Content-Type": "application/json"}, None),
        (b"{}", {}, "unsupported_media_type"),
        (b'{"force": true}', {"Content-Type": "application/json"}, "unknown_field"),
        (b"", {"Idempotency-Key": "a b"}, None),  # not a parameter of it: the second time is too soon, whatever the key
    ],
)
async def test_verify_takes_no_body(tenant: Tenant, content: bytes, headers: dict[str, str], code: str | None) -> None:
    domain_id = await added(tenant, "shop.example.com")
    response = await tenant.client.post(f"/domains/{domain_id}/verify", content=content, headers=headers)
    if code is None:
        assert response.status_code == 202
    else:
        assert response.json()["code"] == code


# --- delete


async def test_a_deleted_domain_is_gone_and_its_name_is_free(tenant: Tenant, other: Tenant) -> None:
    domain_id = await added(tenant, "shop.example.com")
    response = await tenant.client.delete(f"/domains/{domain_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(await tenant.client.delete(f"/domains/{domain_id}"), 404, "domain_not_found")
    assert_problem(await tenant.client.get(f"/domains/{domain_id}"), 404, "domain_not_found")
    assert (await tenant.client.get("/domains")).json()["data"] == []
    assert (await other.add("shop.example.com")).status_code == 201


async def test_verify_and_delete_at_once_leave_a_deleted_domain_to_revoke(
    tenant: Tenant, control: asyncpg.Connection[Any]
) -> None:
    for number in range(5):
        domain_id = await added(tenant, f"d{number}.example.com")
        verified, deleted = await asyncio.gather(
            tenant.client.post(f"/domains/{domain_id}/verify"), tenant.client.delete(f"/domains/{domain_id}")
        )
        assert deleted.status_code == 204
        assert verified.status_code in {202, 404}
        assert await control.fetchval("SELECT kind FROM jobs WHERE domain_id = $1", UUID(domain_id)) == "revoke"
