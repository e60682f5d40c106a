"""A certificate's years through the API: what comes next, resume, renew, diagnosis and audit, on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from api.representation import timestamp
from control.domains.diagnoses import Diagnoses
from core.domain import NextAttempt
from embedded.database import Database

Tenant = Scripted = Any  # tests/integration/api/conftest.py
Now = Callable[[str], Awaitable[None]]
NOW = datetime.now(UTC)


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    problem: dict[str, Any] = response.json()
    return problem


async def domain(
    tenant: Tenant,
    control: Any,
    status: str,
    ssl: str,
    *,
    expires: datetime | None = NOW + timedelta(days=60),
    hostname: str = "shop.example.com",
) -> UUID:
    """A domain in these states, with no job; `expires`: None for one without a certificate."""
    response = await tenant.add(hostname)
    assert response.status_code == 201, response.text
    domain_id = UUID(response.json()["id"])
    certificate = expires and await control.fetchval(
        """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
               directory_url) VALUES ($1, 'ab', 'CA', repeat('f', 64), $2, $3, 1, 'x') RETURNING id""",
        domain_id,
        expires - timedelta(days=90),
        expires,
    )
    await control.execute("DELETE FROM jobs WHERE domain_id = $1", domain_id)
    await control.execute(
        """UPDATE custom_domains SET status = $2, ssl_status = $3, failure_count = 10, certificate_id = $4,
               cert_expiry = $5, renew_at = $5, next_attempt = $6 WHERE id = $1""",
        domain_id,
        status,
        ssl,
        certificate,
        expires,
        NextAttempt(NOW, "registered_domain_limit", "example.com is at its limit.").to_json(),
    )
    return domain_id


async def job(control: Any, domain_id: UUID) -> str | None:
    """The kind of the domain's job, if it is due."""
    kind: str | None = await control.fetchval(
        "SELECT kind FROM jobs WHERE domain_id = $1 AND run_at <= now()", domain_id
    )
    return kind


async def actions(control: Any, domain_id: UUID) -> list[str]:
    rows = await control.fetch(
        "SELECT action FROM audit WHERE domain_id = $1 AND actor = 'tenant:alice' ORDER BY id", domain_id
    )
    return [row["action"] for row in rows][1:]  # the first is `add`


# --- detail


async def test_the_next_attempt_and_the_renewal_are_shown(tenant: Tenant, control: Any) -> None:
    expires = NOW + timedelta(days=20)
    domain_id = await domain(tenant, control, "active", "error", expires=expires)
    shown = (await tenant.client.get(f"/domains/{domain_id}")).json()
    assert shown["nextAttempt"] == {
        "at": timestamp(NOW),
        "code": "registered_domain_limit",
        "message": "example.com is at its limit.",
    }
    assert shown["renewAt"] == shown["certExpiry"] == timestamp(expires)
    assert shown["ready"] is True
    assert (await tenant.client.get("/domains")).json()["data"] == [shown]


@pytest.mark.parametrize(
    ("status", "ssl", "days", "ready"),
    [("moved", "issued", 1, True), ("active", "paused", 1, True), ("active", "paused", -1, False)],
)
async def test_ready_is_served_whatever_becomes_of_the_renewal(
    tenant: Tenant, control: Any, status: str, ssl: str, days: int, ready: bool
) -> None:
    domain_id = await domain(tenant, control, status, ssl, expires=NOW + timedelta(days=days))
    shown = (await tenant.client.get(f"/domains/{domain_id}")).json()
    assert (shown["status"], shown["sslStatus"], shown["ready"]) == (status, ssl, ready)


@pytest.mark.parametrize("status", ["moved"])
async def test_the_list_can_be_of_the_new_statuses(tenant: Tenant, control: Any, status: str) -> None:
    domain_id = await domain(tenant, control, status, "issued")
    found = (await tenant.client.get(f"/domains?status={status}")).json()["data"]
    assert [one["id"] for one in found] == [str(domain_id)]


# --- resume


async def test_a_paused_certificate_is_tried_for_at_once(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "paused")
    response = await tenant.client.post(f"/domains/{domain_id}/resume")
    assert response.status_code == 202, response.text
    shown = response.json()
    assert (shown["status"], shown["sslStatus"], shown["failureCount"]) == ("active", "error", 0)
    assert shown["nextAttempt"] is None
    assert await job(control, domain_id) == "obtain"
    assert await actions(control, domain_id) == ["ssl_resume"]
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/resume"), 409, "domain_not_paused")


@pytest.mark.parametrize(("ssl", "then"), [("none", "none"), ("error", "error"), ("paused", "error")])
async def test_a_failed_domain_starts_again_with_its_certificate(
    tenant: Tenant, control: Any, ssl: str, then: str
) -> None:
    domain_id = await domain(tenant, control, "failed", ssl, expires=None)
    response = await tenant.client.post(f"/domains/{domain_id}/resume", json={})
    assert response.status_code == 202, response.text
    shown = response.json()
    assert (shown["status"], shown["sslStatus"], shown["failureCount"]) == ("pending", then, 0)
    assert shown["nextAttempt"] is None
    window = datetime.fromisoformat(shown["verification"]["deadline"]) - datetime.fromisoformat(shown["updatedAt"])
    assert window == timedelta(hours=72)
    assert await job(control, domain_id) == "verify"
    assert await actions(control, domain_id) == ["retry", *(["ssl_resume"] if ssl == "paused" else [])]


async def test_verify_resumes_a_failed_domain_too(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "failed", "paused", expires=None)
    shown = (await tenant.client.post(f"/domains/{domain_id}/verify")).json()
    assert (shown["status"], shown["sslStatus"]) == ("pending", "error")


@pytest.mark.parametrize(
    ("status", "ssl", "code"),
    [
        ("pending", "none", "domain_not_paused"),
        ("verified", "error", "domain_not_paused"),
        ("active", "issued", "domain_not_paused"),
        ("active", "error", "domain_not_paused"),
        ("moved", "issued", "domain_not_paused"),
        ("moved", "paused", "domain_moved"),
    ],
)
async def test_what_is_not_paused_is_not_resumed(
    tenant: Tenant, control: Any, status: str, ssl: str, code: str
) -> None:
    domain_id = await domain(tenant, control, status, ssl)
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/resume"), 409, code)
    assert await job(control, domain_id) is None
    assert await actions(control, domain_id) == []


async def test_of_parallel_resumptions_one_is_done(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "paused")
    responses = await asyncio.gather(*(tenant.client.post(f"/domains/{domain_id}/resume") for _ in range(6)))
    assert sorted(response.status_code for response in responses) == [202, *[409] * 5]
    assert await actions(control, domain_id) == ["ssl_resume"]


# --- renew


@pytest.mark.parametrize("ssl", ["issued", "renewed"])
async def test_a_certificate_is_renewed_on_demand(tenant: Tenant, control: Any, ssl: str) -> None:
    domain_id = await domain(tenant, control, "active", ssl)
    response = await tenant.client.post(f"/domains/{domain_id}/renew")
    assert response.status_code == 202, response.text
    shown = response.json()
    assert (shown["sslStatus"], shown["ready"], shown["nextAttempt"]) == ("expiring", True, None)
    assert await control.fetchval("SELECT renew_at <= now() FROM custom_domains WHERE id = $1", domain_id)
    assert await job(control, domain_id) == "obtain"
    assert await actions(control, domain_id) == ["renew_request", "ssl_expiring"]
    again = await tenant.client.post(f"/domains/{domain_id}/renew")
    assert (again.status_code, again.json()["sslStatus"]) == (200, "expiring")


async def test_a_renewal_that_waits_after_a_failure_is_tried_now(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "error")
    await control.execute(
        "INSERT INTO jobs (domain_id, kind, run_at, attempts) VALUES ($1, 'obtain', now() + interval '1 day', 3)",
        domain_id,
    )
    response = await tenant.client.post(f"/domains/{domain_id}/renew")
    assert (response.status_code, response.json()["sslStatus"]) == (202, "error")
    assert await job(control, domain_id) == "obtain"
    assert await actions(control, domain_id) == ["renew_request"]


async def test_a_renewal_on_demand_is_refused_soon_after_the_last(tenant: Tenant, control: Any, pass_time: Now) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    assert (await tenant.client.post(f"/domains/{domain_id}/renew")).status_code == 202
    await control.execute("UPDATE custom_domains SET ssl_status = 'renewed'")
    refused = await tenant.client.post(f"/domains/{domain_id}/renew")
    assert_problem(refused, 429, "renewal_too_soon")
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    await pass_time("1 h")
    assert (await tenant.client.post(f"/domains/{domain_id}/renew")).status_code == 202


async def test_a_clock_that_was_set_back_does_not_keep_a_renewal_waiting(
    tenant: Tenant, control: Any, pass_time: Now
) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    assert (await tenant.client.post(f"/domains/{domain_id}/renew")).status_code == 202
    await control.execute("UPDATE custom_domains SET ssl_status = 'renewed'")
    await pass_time("-300 d")
    assert (await tenant.client.post(f"/domains/{domain_id}/renew")).status_code == 202


@pytest.mark.parametrize(
    ("status", "ssl", "code"),
    [
        ("pending", "none", "domain_not_active"),
        ("verified", "issued", "domain_not_active"),
        ("failed", "error", "domain_not_active"),
        ("moved", "issued", "domain_moved"),
        ("active", "paused", "domain_paused"),
    ],
)
async def test_what_has_no_certificate_in_use_is_not_renewed(
    tenant: Tenant, control: Any, status: str, ssl: str, code: str
) -> None:
    domain_id = await domain(tenant, control, status, ssl)
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/renew"), 409, code)
    assert await job(control, domain_id) is None


async def test_of_parallel_renewals_one_is_asked_for(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    responses = await asyncio.gather(*(tenant.client.post(f"/domains/{domain_id}/renew") for _ in range(6)))
    assert sorted(response.status_code for response in responses) == [*[200] * 5, 202]
    assert await actions(control, domain_id) == ["renew_request", "ssl_expiring"]


async def test_a_revocation_is_never_displaced(tenant: Tenant, control: Any) -> None:
    """As of a name that was transferred: its job is `revoke` a moment before its row is deleted."""
    domain_id = await domain(tenant, control, "active", "issued")
    await control.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'revoke')", domain_id)
    await tenant.client.post(f"/domains/{domain_id}/renew")
    assert await job(control, domain_id) == "revoke"


async def test_verify_asks_whether_a_name_that_moved_away_is_back(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "moved", "issued")
    await control.execute("UPDATE custom_domains SET look_at = now() + interval '1 day'")
    response = await tenant.client.post(f"/domains/{domain_id}/verify")
    assert (response.status_code, response.json()["status"]) == (202, "moved")
    assert await control.fetchval("SELECT look_at <= now() FROM custom_domains")
    assert await job(control, domain_id) is None
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/verify"), 429, "verification_too_soon")


# --- diagnosis


@pytest.fixture
async def diagnosed(
    database: Database, serve: Callable[..., Any], new_tenant: Callable[..., Tenant], scripted: Scripted
) -> AsyncIterator[Tenant]:
    """A tenant of an API with a diagnosis."""
    async with serve(database.api_dsn, diagnostician=Diagnoses(scripted)) as url:
        yield new_tenant(url)


async def test_a_diagnosis_shows_expected_against_found(diagnosed: Tenant, scripted: Scripted) -> None:
    created = (await diagnosed.add("shop.example.com")).json()
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert response.status_code == 200, response.text
    shown = response.json()
    checked_at = shown.pop("checkedAt")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(checked_at)) < timedelta(minutes=1)
    assert shown == {
        "id": created["id"],
        "hostname": "shop.example.com",
        "ok": False,
        "usable": ["https://ca.test/directory"],
        "checks": [
            {
                "check": "caa",
                "code": "caa_forbids",
                "ok": False,
                "blocking": True,
                "who": "tenant",
                "message": "It forbids us.",
                "expected": ["ca.test"],
                "found": {"issue": ["x"]},
            }
        ],
    }
    assert [domain.hostname for domain in scripted.asked] == ["shop.example.com"]


async def test_a_domain_is_diagnosed_at_a_bounded_pace(
    diagnosed: Tenant, scripted: Scripted, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.domains.requests.DIAGNOSIS_PAUSE", 600.0)  # however slow the machine is
    path = f"/domains/{(await diagnosed.add('shop.example.com')).json()['id']}/diagnosis"
    other = f"/domains/{(await diagnosed.add('www.example.com')).json()['id']}/diagnosis"
    responses = await asyncio.gather(*(diagnosed.client.get(path) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, *[429] * 4]
    refused = next(response for response in responses if response.status_code == 429)
    assert_problem(refused, 429, "diagnosis_too_soon")
    assert 1 <= int(refused.headers["retry-after"]) <= 600
    assert (await diagnosed.client.get(other)).status_code == 200
    assert len(scripted.asked) == 2
    for clock in ("- interval '10 min'", "+ interval '1 day'"):  # a while later; a clock that was set back
        await control.execute(f"UPDATE custom_domains SET diagnosed_at = clock_timestamp() {clock}")
        assert (await diagnosed.client.get(path)).status_code == 200


async def test_a_diagnosis_that_does_not_end_is_503(
    diagnosed: Tenant, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.diagnosis.DEADLINE", 0.05)
    created = (await diagnosed.add("shop.example.com")).json()
    scripted.go_on.clear()
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert_problem(response, 503, "diagnosis_unavailable")
    assert response.headers["retry-after"] == "30"


async def test_only_so_many_diagnoses_are_under_way(
    diagnosed: Tenant, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr("api.diagnosis.AT_ONCE", 2)
    paths = [f"/domains/{(await diagnosed.add(f'd{n}.example.com')).json()['id']}/diagnosis" for n in range(3)]
    scripted.go_on.clear()
    running = [asyncio.create_task(diagnosed.client.get(path)) for path in paths[:2]]

    async def both_run() -> bool:
        return len(scripted.asked) == 2

    await eventually(both_run)
    assert_problem(await diagnosed.client.get(paths[2]), 429, "too_many_requests")
    scripted.go_on.set()
    assert {(await one).status_code for one in running} == {200}
    assert (await diagnosed.client.get(paths[2])).status_code == 200


async def test_one_tenants_diagnoses_leave_room_for_anothers(
    database: Database,
    serve: Callable[..., Any],
    new_tenant: Callable[..., Tenant],
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    monkeypatch.setattr("api.diagnosis.TENANTS_AT_ONCE", 1)
    async with serve(database.api_dsn, diagnostician=Diagnoses(scripted)) as url:
        busy, other = new_tenant(url), new_tenant(url)
        names = [(busy, "a.example.com"), (busy, "b.example.com"), (other, "c.example.com")]
        paths = [f"/domains/{(await who.add(name)).json()['id']}/diagnosis" for who, name in names]
        scripted.go_on.clear()
        first = asyncio.create_task(busy.client.get(paths[0]))
        await eventually(lambda: len(scripted.asked) == 1)
        assert_problem(await busy.client.get(paths[1]), 429, "too_many_requests")
        second = asyncio.create_task(other.client.get(paths[2]))
        await eventually(lambda: len(scripted.asked) == 2)
        scripted.go_on.set()
        assert [(await one).status_code for one in (first, second)] == [200, 200]
        assert (await busy.client.get(paths[1])).status_code == 200


async def test_a_database_that_goes_away_during_a_diagnosis_is_503(diagnosed: Tenant, scripted: Scripted) -> None:
    created = (await diagnosed.add("shop.example.com")).json()
    scripted.failure = asyncpg.ConnectionDoesNotExistError("gone")
    response = await diagnosed.client.get(f"/domains/{created['id']}/diagnosis")
    assert_problem(response, 503, "database_unavailable")


async def test_without_a_diagnosis_it_is_503(tenant: Tenant) -> None:
    created = (await tenant.add("shop.example.com")).json()
    assert_problem(await tenant.client.get(f"/domains/{created['id']}/diagnosis"), 503, "diagnosis_unavailable")


async def test_anothers_domain_is_not_diagnosed(diagnosed: Tenant, scripted: Scripted, other: Tenant) -> None:
    created = (await other.add("shop.example.com")).json()
    for domain_id in (created["id"], uuid4(), "x"):
        assert_problem(await diagnosed.client.get(f"/domains/{domain_id}/diagnosis"), 404, "domain_not_found")
    assert scripted.asked == []


# --- audit


async def test_the_audit_is_shown_newest_first_page_by_page(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "paused")
    await tenant.client.post(f"/domains/{domain_id}/resume")
    await control.execute(
        """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail)
           VALUES ($1, $2, 'shop.example.com', 'control:host-1', 'ssl_error', '{"finding": "rate_limited"}')""",
        tenant.id,
        domain_id,
    )
    await tenant.client.delete(f"/domains/{domain_id}")
    seen: list[dict[str, Any]] = []
    path = f"/api/v1/domains/{domain_id}/audit?limit=1"
    while True:
        response = await tenant.client.get(str(tenant.client.base_url).split("/api")[0] + path)
        body = response.json()
        seen += body["data"]
        if body["nextCursor"] is None:
            assert "link" not in response.headers
            break
        path = response.headers["link"].partition(">")[0][1:]
        assert f"cursor={body['nextCursor']}" in path
    assert [(entry["actor"], entry["action"]) for entry in seen] == [
        ("tenant:alice", "delete"),
        ("platform", "ssl_error"),
        ("tenant:alice", "ssl_resume"),
        ("tenant:alice", "add"),
    ]
    assert seen[1]["detail"] == {"finding": "rate_limited"}
    assert {entry["hostname"] for entry in seen} == {"shop.example.com"}
    ids = [entry["id"] for entry in seen]
    assert ids == sorted(ids, reverse=True)
    assert (await tenant.client.get(f"/domains/{domain_id}/audit")).json() == {"data": seen, "nextCursor": None}


async def test_anothers_audit_is_not_found(tenant: Tenant, other: Tenant) -> None:
    created = (await other.add("shop.example.com")).json()
    for domain_id in (created["id"], uuid4(), "x"):
        assert_problem(await tenant.client.get(f"/domains/{domain_id}/audit"), 404, "domain_not_found")


async def test_a_name_that_changed_hands_shows_each_tenant_its_own_years(
    tenant: Tenant, other: Tenant, control: Any
) -> None:
    first = await domain(other, control, "moved", "issued")
    second = (await tenant.add("shop.example.com")).json()["id"]
    mine = (await tenant.client.get(f"/domains/{second}/audit")).json()["data"]
    assert [entry["action"] for entry in mine] == ["add"]
    assert_problem(await tenant.client.get(f"/domains/{first}/audit"), 404, "domain_not_found")


@pytest.mark.parametrize("cursor", ["", "x", "AAAAAAAAAAAAAAAA", "A" * 38])
async def test_a_cursor_that_nobody_made_is_refused(tenant: Tenant, cursor: str) -> None:
    created = (await tenant.add("shop.example.com")).json()
    response = await tenant.client.get(f"/domains/{created['id']}/audit", params={"cursor": cursor})
    assert assert_problem(response, 400, "invalid_cursor")["parameter"] == "cursor"


# --- paths


@pytest.mark.parametrize(
    ("method", "suffix"), [("POST", "/resume"), ("POST", "/renew"), ("GET", "/audit"), ("GET", "/diagnosis")]
)
async def test_what_is_not_ones_own_is_not_found(diagnosed: Tenant, other: Tenant, method: str, suffix: str) -> None:
    foreign = (await other.add("foreign.example.com")).json()["id"]
    for domain_id in (foreign, str(uuid4()), "1", foreign.replace("-", "")):
        response = await diagnosed.client.request(method, f"/domains/{domain_id}{suffix}")
        assert foreign not in json.dumps(assert_problem(response, 404, "domain_not_found"))


@pytest.mark.parametrize("suffix", ["/resume", "/renew"])
async def test_a_body_with_something_in_it_is_refused(tenant: Tenant, suffix: str) -> None:
    created = (await tenant.add("shop.example.com")).json()
    response = await tenant.client.post(f"/domains/{created['id']}{suffix}", json={"force": True})
    assert_problem(response, 422, "unknown_field")
