"""`TenantDomains` on a real PostgreSQL, as the role nameplate_api: what is asked for a domain that there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from scenes.tenants import Control, actions, job, set_status

from api.auth import Principal
from api.service import DomainNotFound, VerificationTooSoon
from control.domains.tenants import TenantDomains
from core.domain import Domain
from embedded.database import Database

Add = Callable[[Principal, str], Awaitable[Domain]]
WAITING_FOR_LOCKS = """SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""


# --- verify


@pytest.mark.parametrize("status", ["pending", "dns_check"])
async def test_verify_asks_for_a_look_now(
    add: Add, domains: TenantDomains, caller: Principal, control: Control, status: str
) -> None:
    domain = await add(caller, "shop.example.com")
    await set_status(control, domain.id, status)
    await control.execute("UPDATE jobs SET run_at = now() + interval '1 hour'")
    verification = await domains.verify(caller, domain.id)
    assert verification.requested
    assert verification.domain.status == status
    assert await job(control, domain.id) == "verify"
    assert (await actions(control, domain.id))[-1] == ("tenant:alice", "verify_request")


@pytest.mark.parametrize("status", ["verified", "active"])
async def test_verify_changes_nothing_on_a_proven_domain(
    add: Add, domains: TenantDomains, caller: Principal, control: Control, status: str
) -> None:
    domain = await add(caller, "shop.example.com")
    await set_status(control, domain.id, status)
    await control.execute("UPDATE jobs SET kind = 'obtain'")
    for _ in range(2):
        verification = await domains.verify(caller, domain.id)
        assert (verification.requested, verification.domain.status) == (False, status)
    assert await job(control, domain.id) == "obtain"
    assert await actions(control, domain.id) == [("tenant:alice", "add")]


async def test_verify_starts_a_failed_domain_again_with_a_new_window(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    await control.execute("DELETE FROM jobs")
    await control.execute(
        "UPDATE custom_domains SET status = 'failed', failure_count = 10, verify_deadline = now() - interval '1 h'"
    )
    verification = await domains.verify(caller, domain.id)
    assert verification.requested
    assert (verification.domain.status, verification.domain.failure_count) == ("pending", 0)
    left = verification.domain.verify_deadline - verification.domain.updated_at
    assert left == timedelta(hours=72)
    assert await job(control, domain.id) == "verify"
    assert (await actions(control, domain.id))[-1] == ("tenant:alice", "retry")


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_verify_is_refused_a_moment_after_the_last_one(
    add: Add,
    domains: TenantDomains,
    caller: Principal,
    control: Control,
    pass_time: Callable[[str], Awaitable[None]],
    status: str,
) -> None:
    domain = await add(caller, "shop.example.com")
    await set_status(control, domain.id, status)
    await domains.verify(caller, domain.id)
    with pytest.raises(VerificationTooSoon) as refused:
        await domains.verify(caller, domain.id)
    assert 1 <= refused.value.retry_after <= 5
    await pass_time("6 s")
    assert (await domains.verify(caller, domain.id)).requested


async def test_of_parallel_requests_to_verify_one_is_taken(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    await set_status(control, domain.id, "failed")
    results = await asyncio.gather(*(domains.verify(caller, domain.id) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, VerificationTooSoon) for result in results) == 7
    assert [action for _, action in await actions(control, domain.id)] == ["add", "retry"]


async def test_a_domain_proven_while_the_request_waits_keeps_its_next_job(
    add: Add,
    domains: TenantDomains,
    caller: Principal,
    control: Control,
    superuser: Control,
    eventually: Callable[..., Any],
) -> None:
    """A worker holds the job, proves the domain and turns the job into `obtain`; the tenant's request waits for it."""
    domain = await add(caller, "shop.example.com")
    async with control.transaction():
        await control.execute("SELECT FROM jobs WHERE domain_id = $1 FOR UPDATE", domain.id)
        request = asyncio.create_task(domains.verify(caller, domain.id))

        async def waits() -> bool:
            return bool(await superuser.fetchval(WAITING_FOR_LOCKS))

        await eventually(waits)
        await set_status(control, domain.id, "verified")
        await control.execute("UPDATE jobs SET kind = 'obtain' WHERE domain_id = $1", domain.id)
    verification = await request
    assert (verification.requested, verification.domain.status) == (False, "verified")
    assert await job(control, domain.id) == "obtain"


# --- delete


async def test_a_deleted_domain_is_gone_and_its_certificate_is_to_be_revoked(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    await domains.delete(caller, domain.id)
    row = await control.fetchrow("SELECT deleted_at, status FROM custom_domains WHERE id = $1", domain.id)
    assert row["deleted_at"] is not None
    assert await job(control, domain.id) == "revoke"
    assert (await actions(control, domain.id))[-1] == ("tenant:alice", "delete")
    detail = await control.fetchval("SELECT detail FROM audit WHERE action = 'delete'")
    assert json.loads(detail) == {"status": "pending"}
    with pytest.raises(DomainNotFound):
        await domains.find(caller, domain.id)
    with pytest.raises(DomainNotFound):
        await domains.delete(caller, domain.id)


async def test_of_parallel_deletions_one_is_done(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    results = await asyncio.gather(*(domains.delete(caller, domain.id) for _ in range(6)), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, DomainNotFound) for result in results) == 5
    assert [action for _, action in await actions(control, domain.id)] == ["add", "delete"]


async def test_a_role_above_row_security_still_finds_no_other_tenants_domain(
    add: Add, caller: Principal, database: Database
) -> None:
    domain = await add(caller, "shop.example.com")
    stranger = Principal(uuid4(), "mallory")
    async with asyncpg.create_pool(database.superuser_dsn, min_size=0, max_size=2) as pool:
        domains = TenantDomains(pool, timedelta(hours=72), 5)
        for attempt in (domains.find, domains.verify, domains.delete):
            with pytest.raises(DomainNotFound):
                await attempt(stranger, domain.id)
        assert await domains.find(caller, domain.id) == domain
        assert await domains.page(stranger, None, None, 10) == []
