"""Tenants are told before an authority or a list of their clients runs out: in time, once, and not of each list."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes.client_certificates import HOUR, NOW, Authority, pem

from api.auth import Principal
from api.client_auth import Settings
from control.client_auth.endings import WARNINGS, Endings, hours_to_warn, warning
from control.client_auth.tenant import TenantClientAuths
from embedded.database import Database

DAY = timedelta(days=1)
CA = Authority.root("Root A", 1, until=NOW + 40 * DAY)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endings(pool: asyncpg.Pool[Any], clock: Clock) -> Endings:
    return Endings(pool, "control:test", clock)


@pytest.fixture
async def domain(add_domain: Callable[..., Awaitable[UUID]]) -> UUID:
    return await add_domain("api.example.com", job=None, status="active")


@pytest.fixture
def put(database: Database, pool: asyncpg.Pool[Any], clock: Clock, domain: UUID) -> Callable[..., Awaitable[None]]:
    async def ask(authority: Authority = CA, crl_until: datetime | None = None) -> None:
        tenant = await pool.fetchval("SELECT tenant_id FROM custom_domains WHERE id = $1", domain)
        crl = None if crl_until is None else pem(authority.crl(since=clock.now, until=crl_until))
        settings = Settings("required", authority.pem, crl, False, ("san",), None)
        async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=1) as api_pool:
            await TenantClientAuths(api_pool, clock).put(Principal(tenant, "alice"), domain, settings)

    return ask


async def told(pool: asyncpg.Pool[Any]) -> list[tuple[str, str]]:
    """Since the last look: events, and their message."""
    rows = await pool.fetch("DELETE FROM outbox WHERE event LIKE '%_ending' RETURNING id, event, payload")
    return [(row["event"], json.loads(row["payload"])["message"]) for row in sorted(rows)]


async def days_of(endings: Endings, clock: Clock, pool: asyncpg.Pool[Any], step: timedelta, end: datetime) -> list[Any]:
    """When something was told, as what was left, while time passes."""
    found = []
    while clock.now < end + step:
        done = await endings.round()
        events = await told(pool)
        assert done == len(events)
        found += [(event, end - clock.now) for event, _ in events]
        clock.now += step
    return found


async def test_an_authority_is_warned_of_in_time_and_once_each_time(put, endings, clock, pool):
    await put()
    found = await days_of(endings, clock, pool, DAY / 2, NOW + 40 * DAY)
    # Of 40 days, not until a third is left.
    assert found == [("domain.client_ca_ending", left) for left in (7 * DAY, DAY, timedelta())]


async def test_a_list_that_is_replaced_in_time_is_not_worth_a_word(put, endings, clock, pool):
    for _ in range(4):
        await put(crl_until=clock.now + 30 * HOUR)
        for _ in range(18):
            assert await endings.round() == 0
            clock.now += HOUR
    assert await told(pool) == []


async def test_a_list_that_is_not_replaced_is_warned_of_until_it_is_stale(put, endings, clock, pool):
    await put(crl_until=NOW + 30 * HOUR)
    found = await days_of(endings, clock, pool, HOUR, NOW + 30 * HOUR)
    assert found == [("domain.client_crl_ending", left) for left in (6 * HOUR, timedelta())]
    await put(crl_until=clock.now + 30 * HOUR)
    assert await endings.round() == 0


async def test_the_message_says_when_and_what_to_do_and_the_audit_keeps_it(put, endings, clock, pool, domain):
    await put(crl_until=NOW + 30 * HOUR)
    clock.now += 31 * HOUR
    await endings.round()
    ((event, message),) = await told(pool)
    assert event == "domain.client_crl_ending"
    assert message.startswith("A revocation list of its client certificates has run out. All clients of its authority")
    clock.now = NOW + 39 * DAY
    await endings.round()
    ((event, message),) = await told(pool)
    assert message.startswith(f"An authority of its client certificates ends at {NOW + 40 * DAY:%Y-%m-%d %H:%M} UTC.")
    actions = await pool.fetch("SELECT action FROM audit WHERE domain_id = $1 ORDER BY id", domain)
    assert [row["action"] for row in actions] == ["client_auth_set", "client_crl_ending", "client_ca_ending"]


async def test_what_is_late_is_told_once_and_a_deleted_domain_is_passed_over(put, endings, clock, pool, domain):
    await put()
    clock.now += 41 * DAY
    assert (await endings.round(), await endings.round()) == (1, 0)
    assert len(await told(pool)) == 1
    await put(Authority.root("Root B", 2, until=clock.now + 400 * DAY))
    clock.now += 401 * DAY
    await pool.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", domain)
    assert await endings.round() == 0


async def test_a_domain_that_somebody_holds_is_told_of_later(put, endings, clock, pool, domain, monkeypatch):
    monkeypatch.setattr("control.db.brief.LOCK_TIMEOUT", "SET LOCAL lock_timeout = '20ms'")
    await put()
    clock.now += 41 * DAY
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM custom_domains WHERE id = $1 FOR UPDATE", domain)
        assert await endings.round() == 0
    assert await endings.round() == 1


@pytest.mark.parametrize("what", WARNINGS)
def test_each_warning_comes_once_and_the_last_of_all_at_the_end(what):
    until, warned, found = NOW + 3000 * HOUR, hours_to_warn(NOW + 3000 * HOUR, NOW), []
    for hours in range(3002):
        due = warning(what, until, warned, NOW + hours * HOUR)
        if due is not None:
            found.append(due)
            warned = due
            assert until - (NOW + hours * HOUR) == due * HOUR
    assert tuple(found) == WARNINGS[what]
    assert warning(what, None, warned, NOW) is None
