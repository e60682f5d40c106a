"""A certificate's years through the API: what comes next, resume, renew, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.problems import assert_problem
from scenes.years import NOW, domain

from api.representation import timestamp

Tenant = Any  # tests/integration/api/conftest.py
Now = Callable[[str], Awaitable[None]]


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


@pytest.mark.parametrize("suffix", ["/resume", "/renew"])
async def test_a_body_with_something_in_it_is_refused(tenant: Tenant, suffix: str) -> None:
    created = (await tenant.add("shop.example.com")).json()
    response = await tenant.client.post(f"/domains/{created['id']}{suffix}", json={"force": True})
    assert_problem(response, 422, "unknown_field")
