"""Pausing a domain and going on, through the API on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.problems import assert_problem
from scenes.years import NOW, domain

from control import housekeeping
from control.certificates.renewals import Renewals, replace_all
from control.domains.states import SSL

Tenant = Any  # tests/integration/api/conftest.py
Now = Callable[[str], Awaitable[None]]
STATES = sorted({state for state, event in SSL if event == "paused_by_tenant"} - {"paused"})


async def jobs(control: Any) -> list[str]:
    return [row["kind"] for row in await control.fetch("SELECT kind FROM jobs WHERE run_at <= now()")]


async def actions(control: Any, domain_id: UUID) -> list[str]:
    rows = await control.fetch("SELECT action FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
    return [row["action"] for row in rows][1:]  # the first is `add`


async def pause(tenant: Tenant, domain_id: UUID) -> dict[str, Any]:
    response = await tenant.client.post(f"/domains/{domain_id}/pause")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def resume(tenant: Tenant, domain_id: UUID) -> dict[str, Any]:
    response = await tenant.client.post(f"/domains/{domain_id}/resume")
    assert response.status_code == 202, response.text
    return dict(response.json())


@pytest.mark.parametrize("ssl", STATES)
async def test_a_paused_domain_says_so_and_is_served_and_goes_on_where_it_was(
    tenant: Tenant, control: Any, ssl: str
) -> None:
    domain_id = await domain(tenant, control, "active", ssl)
    shown = await pause(tenant, domain_id)
    assert (shown["status"], shown["sslStatus"], shown["nextAttempt"], shown["ready"]) == (
        "active",
        "paused",
        None,
        True,
    )
    assert (shown["ssl"]["code"], shown["ssl"]["who"]) == ("paused_by_tenant", "tenant")
    assert shown["renewAt"] is None
    assert (await tenant.client.get(f"/domains/{domain_id}")).json() == shown
    assert await jobs(control) == []
    shown = await resume(tenant, domain_id)
    assert (shown["status"], shown["sslStatus"], shown["failureCount"]) == ("active", ssl, 0)
    assert (shown["ssl"]["code"], shown["nextAttempt"]) == (None, None)
    # What is stored is renewed when it is due; no order is spent before.
    assert await jobs(control) == ([] if ssl in ("issued", "renewed") else ["obtain"])
    assert await actions(control, domain_id) == ["pause", "resume"]
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/resume"), 409, "domain_not_paused")


async def test_it_is_told_once_however_often_it_is_asked_for(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    responses = await asyncio.gather(*(tenant.client.post(f"/domains/{domain_id}/pause", json={}) for _ in range(6)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert await actions(control, domain_id) == ["pause"]
    row = await control.fetchrow("SELECT event, payload FROM outbox ORDER BY id DESC LIMIT 1")
    assert row["event"] == "domain.pause"
    facts = json.loads(row["payload"])
    assert (facts["from"], facts["finding"], facts["who"]) == ("issued", "paused_by_tenant", "tenant")


async def test_what_has_paused_by_itself_can_be_kept_so(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "paused")
    assert (await pause(tenant, domain_id))["ssl"]["code"] == "paused_by_tenant"
    shown = await resume(tenant, domain_id)
    assert (shown["sslStatus"], shown["failureCount"]) == ("error", 0)
    assert await jobs(control) == ["obtain"]


@pytest.mark.parametrize(
    ("ssl", "expires"), [("none", None), ("validating", None), ("error", None), ("issued", NOW + timedelta(days=60))]
)
async def test_one_that_is_not_live_yet_waits(tenant: Tenant, control: Any, ssl: str, expires: Any) -> None:
    domain_id = await domain(tenant, control, "verified", ssl, expires=expires)
    await pause(tenant, domain_id)
    await control.execute(housekeeping.FIND_FORGOTTEN)
    # The one with a certificate waits for the sidecars only.
    assert await jobs(control) == ([] if expires is None else ["obtain"])
    shown = (await tenant.client.post(f"/domains/{domain_id}/verify")).json()
    assert (shown["sslStatus"], shown["nextAttempt"]) == ("paused", None)
    assert await actions(control, domain_id) == ["pause"]
    assert (await resume(tenant, domain_id))["sslStatus"] == ssl
    assert await jobs(control) == ["obtain"]


async def test_one_that_has_moved_away_can_be_paused_and_goes_on_without_an_order(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "moved", "expiring")
    assert (await pause(tenant, domain_id))["status"] == "moved"
    shown = await resume(tenant, domain_id)
    assert (shown["status"], shown["sslStatus"]) == ("moved", "expiring")
    assert await jobs(control) == []


@pytest.mark.parametrize(
    ("status", "reason"), [("pending", "not proven"), ("dns_check", "not proven"), ("failed", "has failed")]
)
async def test_what_is_not_proven_cannot_be_paused(tenant: Tenant, control: Any, status: str, reason: str) -> None:
    domain_id = await domain(tenant, control, status, "none", expires=None)
    problem = assert_problem(await tenant.client.post(f"/domains/{domain_id}/pause"), 409, "domain_not_pausable")
    assert reason in problem["detail"]
    assert await actions(control, domain_id) == []


async def test_nobody_elses_domain_is_paused(tenant: Tenant, other: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    assert_problem(await other.client.post(f"/domains/{domain_id}/pause"), 404, "domain_not_found")
    await tenant.client.delete(f"/domains/{domain_id}")
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/pause"), 404, "domain_not_found")


async def test_pausing_again_and_again_has_its_pace(tenant: Tenant, control: Any, pass_time: Now) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    await pause(tenant, domain_id)
    await resume(tenant, domain_id)
    response = await tenant.client.post(f"/domains/{domain_id}/pause")
    assert_problem(response, 429, "pause_too_soon")
    assert 1 <= int(response.headers["Retry-After"]) <= 5
    await pass_time("6 s")
    await pause(tenant, domain_id)


async def test_renewals_pass_a_paused_domain_over_until_it_is_resumed(
    tenant: Tenant, control: Any, workers: Any
) -> None:
    domain_id = await domain(tenant, control, "active", "issued", expires=NOW + timedelta(days=1))
    await control.execute("UPDATE custom_domains SET renew_at = now() - interval '1 day'")
    await pause(tenant, domain_id)
    assert_problem(await tenant.client.post(f"/domains/{domain_id}/renew"), 409, "domain_paused")
    renewals = Renewals(workers, "control:test")
    assert await renewals.due() == 0
    for chore in (housekeeping.FIND_FORGOTTEN, housekeeping.FIND_UNFINISHED, housekeeping.FIND_UNORDERED):
        await control.execute(chore)
    assert await jobs(control) == []
    await resume(tenant, domain_id)
    assert await renewals.due() == 1


async def test_pausing_and_the_scheduler_at_once_leave_nothing_that_goes_on(
    tenant: Tenant, control: Any, workers: Any, pass_time: Now
) -> None:
    domain_id = await domain(tenant, control, "active", "issued", expires=NOW + timedelta(days=1))
    renewals = Renewals(workers, "control:test")
    for _ in range(10):
        await control.execute("UPDATE custom_domains SET renew_at = now() - interval '1 day', ssl_status = 'issued'")
        await asyncio.gather(renewals.due(), tenant.client.post(f"/domains/{domain_id}/pause"), renewals.due())
        row = await control.fetchrow("SELECT ssl_status, paused_from FROM custom_domains")
        # Whoever was first: a renewal that was begun has its job, which ends without having done anything.
        begun = row["paused_from"] == "expiring"
        assert (row["ssl_status"], begun or row["paused_from"] == "issued") == ("paused", True)
        assert await jobs(control) == (["obtain"] if begun else [])
        assert (await resume(tenant, domain_id))["sslStatus"] == row["paused_from"]
        await control.execute("DELETE FROM jobs")
        await pass_time("6 s")


async def test_what_its_ca_revokes_is_replaced_as_soon_as_it_is_resumed(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    await pause(tenant, domain_id)
    assert await replace_all(control, within=timedelta(0), directory_url="x") == 1
    await resume(tenant, domain_id)
    assert await control.fetchval("SELECT renew_at <= now() FROM custom_domains")


async def test_a_release_that_does_not_know_of_the_pause_ends_all_of_it(tenant: Tenant, control: Any) -> None:
    domain_id = await domain(tenant, control, "active", "issued")
    await pause(tenant, domain_id)
    await control.execute("UPDATE custom_domains SET ssl_status = 'error'")
    assert tuple(await control.fetchrow("SELECT paused_from, warn_at FROM custom_domains")) == (None, None)
