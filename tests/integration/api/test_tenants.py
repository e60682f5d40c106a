"""`TenantDomains` on a real PostgreSQL, as the role nameplate_api."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from scenes.tenants import Control, actions, job, set_status

from api.auth import Principal
from api.service import (
    Added,
    DomainExists,
    DomainLimitReached,
    DomainNotFound,
    HostnameTaken,
    Idempotency,
    KeyReused,
    Position,
    Reply,
)
from control.domains.tenants import TenantDomains
from control.limits.forecast import Forecast
from control.limits.gcra import Rate
from control.limits.policy import ORDER
from core.domain import Domain

Add = Callable[[Principal, str], Awaitable[Domain]]
FINGERPRINT = b"\x01" * 32


def reply(domain: Domain) -> Reply:
    return Reply(f'{{"z": 1, "id": "{domain.id}"}}', f"/api/v1/domains/{domain.id}")


# --- add


async def test_a_new_domain_is_pending_with_a_window_a_token_a_job_and_an_audit_row(
    add: Add, caller: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    assert (domain.tenant_id, domain.hostname) == (caller.tenant_id, "shop.example.com")
    assert (domain.status, domain.ssl_status, domain.failure_count) == ("pending", "none", 0)
    assert domain.verify_deadline - domain.created_at == timedelta(hours=72)
    assert len(bytes.fromhex(domain.verification_token)) >= 16
    assert await job(control, domain.id) == "verify"
    assert await actions(control, domain.id) == [("tenant:alice", "add")]
    assert await control.fetchval("SELECT event FROM outbox WHERE domain_id = $1", domain.id) == "domain.add"
    assert await control.fetchval("SELECT slug FROM tenants") == f"tenant-{caller.tenant_id}"


async def test_every_domain_has_a_token_of_its_own(add: Add, caller: Principal) -> None:
    tokens = {(await add(caller, f"{name}.example.com")).verification_token for name in "abcde"}
    assert len(tokens) == 5


async def test_the_tenant_row_is_made_once(add: Add, caller: Principal, control: Control) -> None:
    await asyncio.gather(*(add(caller, f"{name}.example.com") for name in "abcde"))
    assert await control.fetchval("SELECT count(*) FROM tenants") == 1


async def test_a_hostname_of_ones_own_exists_and_says_where(add: Add, caller: Principal) -> None:
    domain = await add(caller, "shop.example.com")
    with pytest.raises(DomainExists) as refused:
        await add(caller, "shop.example.com")
    assert refused.value.domain_id == domain.id


async def test_a_hostname_of_another_tenant_is_taken(
    add: Add, caller: Principal, stranger: Principal, control: Control
) -> None:
    await add(stranger, "shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active'")
    with pytest.raises(HostnameTaken):
        await add(caller, "shop.example.com")
    assert await control.fetchval("SELECT count(*) FROM tenants WHERE id = $1", caller.tenant_id) == 0


async def test_a_deleted_hostname_is_free_for_anybody(
    add: Add, domains: TenantDomains, caller: Principal, stranger: Principal
) -> None:
    await domains.delete(caller, (await add(caller, "shop.example.com")).id)
    assert (await add(stranger, "shop.example.com")).tenant_id == stranger.tenant_id


async def test_the_refusal_of_a_taken_hostname_asks_for_a_look_at_its_holder(
    add: Add, caller: Principal, stranger: Principal, control: Control
) -> None:
    await add(stranger, "shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active', look_at = now() + interval '6 hours'")
    with pytest.raises(HostnameTaken):
        await add(caller, "shop.example.com")
    assert await control.fetchval("SELECT look_at <= now() FROM custom_domains")


async def test_tenants_that_claim_a_hostname_at_once_all_may_try_to_prove_it(add: Add, control: Control) -> None:
    callers = [Principal(uuid4(), f"t{n}") for n in range(8)]
    results = await asyncio.gather(*(add(c, "shop.example.com") for c in callers))
    assert len({domain.verification_token for domain in results}) == len({d.target_label for d in results}) == 8
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 8


async def test_parallel_additions_do_not_exceed_the_limit(add: Add, caller: Principal, control: Control) -> None:
    results = await asyncio.gather(*(add(caller, f"d{n}.example.com") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, Domain) for result in results) == 5
    assert sum(isinstance(result, DomainLimitReached) for result in results) == 15
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 5


async def test_the_plan_of_a_tenant_goes_before_the_default(add: Add, caller: Principal, control: Control) -> None:
    await add(caller, "a.example.com")
    await control.execute("UPDATE tenants SET max_domains = 1 WHERE id = $1", caller.tenant_id)
    with pytest.raises(DomainLimitReached, match="1"):
        await add(caller, "b.example.com")
    await control.execute("UPDATE tenants SET max_domains = 7 WHERE id = $1", caller.tenant_id)
    for number in range(6):
        await add(caller, f"more{number}.example.com")


async def test_deleted_domains_do_not_count(add: Add, domains: TenantDomains, caller: Principal) -> None:
    added = [await add(caller, f"d{n}.example.com") for n in range(5)]
    await domains.delete(caller, added[0].id)
    await add(caller, "new.example.com")


# --- idempotency


async def test_the_same_key_gives_the_first_reply_again_byte_for_byte(
    domains: TenantDomains, caller: Principal, control: Control
) -> None:
    key = Idempotency("k1", FINGERPRINT)
    first = await domains.add(caller, "shop.example.com", key, reply)
    again = await domains.add(caller, "shop.example.com", key, reply)
    assert again == Added(first.reply, replayed=True)
    assert not first.replayed
    assert await control.fetchval("SELECT count(*) FROM audit") == 1


async def test_a_key_for_another_request_is_refused(domains: TenantDomains, caller: Principal) -> None:
    await domains.add(caller, "a.example.com", Idempotency("k1", FINGERPRINT), reply)
    with pytest.raises(KeyReused):
        await domains.add(caller, "b.example.com", Idempotency("k1", b"\x02" * 32), reply)


async def test_a_key_belongs_to_one_tenant(domains: TenantDomains, caller: Principal, stranger: Principal) -> None:
    key = Idempotency("k1", FINGERPRINT)
    first = await domains.add(caller, "a.example.com", key, reply)
    second = await domains.add(stranger, "b.example.com", key, reply)
    assert not second.replayed
    assert first.reply != second.reply


async def test_parallel_requests_with_one_key_do_the_work_once(
    domains: TenantDomains, caller: Principal, control: Control
) -> None:
    key = Idempotency("k1", FINGERPRINT)
    results = await asyncio.gather(*(domains.add(caller, "shop.example.com", key, reply) for _ in range(12)))
    assert [result.replayed for result in results].count(False) == 1
    assert len({result.reply for result in results}) == 1
    assert await control.fetchval("SELECT count(*) FROM custom_domains") == 1


async def test_an_error_is_not_kept_with_the_key(
    add: Add, domains: TenantDomains, caller: Principal, stranger: Principal, control: Control
) -> None:
    await add(stranger, "shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'verified'")
    key = Idempotency("k1", FINGERPRINT)
    with pytest.raises(HostnameTaken):
        await domains.add(caller, "shop.example.com", key, reply)
    assert await control.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    await control.execute("UPDATE custom_domains SET status = 'failed'")
    assert not (await domains.add(caller, "shop.example.com", key, reply)).replayed


# --- list and find


async def walk(domains: TenantDomains, caller: Principal, limit: int) -> list[Domain]:
    found: list[Domain] = []
    after = None
    while page := await domains.page(caller, after, None, limit):
        found += page
        after = Position(page[-1].created_at, page[-1].id)
    return found


async def test_the_list_has_each_live_domain_once_in_the_order_of_creation(
    add: Add, domains: TenantDomains, caller: Principal, stranger: Principal
) -> None:
    added = [await add(caller, f"d{n}.example.com") for n in range(5)]
    await add(stranger, "foreign.example.com")
    await domains.delete(caller, added[3].id)
    expected = [added[n].hostname for n in (0, 1, 2, 4)]
    for limit in (1, 2, 3, 100):
        assert [domain.hostname for domain in await walk(domains, caller, limit)] == expected


async def test_the_list_goes_on_where_it_was_after_inserts_and_deletes(
    add: Add, domains: TenantDomains, caller: Principal
) -> None:
    added = [await add(caller, f"d{n}.example.com") for n in range(4)]
    page = await domains.page(caller, None, None, 2)
    await domains.delete(caller, added[1].id)  # the one the position names
    await domains.delete(caller, added[2].id)
    await add(caller, "late.example.com")
    rest = await domains.page(caller, Position(page[-1].created_at, page[-1].id), None, 10)
    assert [domain.hostname for domain in rest] == ["d3.example.com", "late.example.com"]


async def test_domains_made_at_the_same_moment_are_told_apart_by_id(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    added = [await add(caller, f"d{n}.example.com") for n in range(5)]
    await control.execute("UPDATE custom_domains SET created_at = $1", added[0].created_at)
    found = await walk(domains, caller, 2)
    assert [domain.id for domain in found] == sorted(domain.id for domain in added)


async def test_the_list_can_be_of_one_status(
    add: Add, domains: TenantDomains, caller: Principal, control: Control
) -> None:
    failed = await add(caller, "failed.example.com")
    await add(caller, "pending.example.com")
    await set_status(control, failed.id, "failed")
    assert [d.hostname for d in await domains.page(caller, None, "failed", 10)] == ["failed.example.com"]
    assert await domains.page(caller, None, "active", 10) == []


async def test_a_domain_is_found_by_its_own_tenant_only(
    add: Add, domains: TenantDomains, caller: Principal, stranger: Principal
) -> None:
    domain = await add(caller, "shop.example.com")
    assert await domains.find(caller, domain.id) == domain
    for who, which in ((stranger, domain.id), (caller, uuid4())):
        with pytest.raises(DomainNotFound):
            await domains.find(who, which)
        with pytest.raises(DomainNotFound):
            await domains.verify(who, which)
        with pytest.raises(DomainNotFound):
            await domains.delete(who, which)


async def test_a_domain_carries_the_facts_of_its_certificate(
    add: Add, domains: TenantDomains, caller: Principal, stranger: Principal, control: Control
) -> None:
    domain = await add(caller, "shop.example.com")
    certificate = await control.fetchval(
        """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
               directory_url)
           VALUES ($1, 'ab', 'CA', repeat('f', 64), now(), now() + interval '90 days', 1, 'x') RETURNING id""",
        domain.id,
    )
    await control.execute("UPDATE custom_domains SET certificate_id = $2 WHERE id = $1", domain.id, certificate)
    facts = (await domains.find(caller, domain.id)).certificate
    assert facts is not None
    assert (facts.serial, facts.issuer, facts.fingerprint) == ("ab", "CA", "f" * 64)


async def test_a_domain_that_waits_for_its_turn_says_when_it_comes(
    add: Add, pool: asyncpg.Pool[Any], caller: Principal, control: Control
) -> None:
    hour = timedelta(hours=1)
    policy = [replace(ORDER, rate=Rate(1, hour))]
    domains = TenantDomains(pool, hour, 5, forecast=Forecast("https://ca.test", policy))
    added = [await add(caller, f"d{n}.example.com") for n in range(4)]
    assert (await domains.find(caller, added[3].id)).next_attempt is None
    for domain in added:
        await set_status(control, domain.id, "verified")
        await control.execute("UPDATE jobs SET kind = 'obtain' WHERE domain_id = $1", domain.id)
    before = datetime.now(UTC)
    turn = (await domains.find(caller, added[3].id)).next_attempt
    assert turn is not None
    assert (turn.code, round((turn.at - before) / hour)) == ("queued", 3)
    assert (await domains.find(caller, added[0].id)).next_attempt is None
