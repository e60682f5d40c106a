"""Who has paused a domain is told before its certificate ends, on a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.domains.pause_warnings import LOOK_AGAIN, WARNINGS, PauseWarnings, is_near, next_look
from control.domains.transition import apply
from core.domain import Finding

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FINDING = Finding("paused_by_tenant", "…", "tenant", NOW, {})


@pytest.fixture
def paused(pool):
    """`await paused(days)`: a domain that is served, and paused while its certificate lasts for so many days more."""

    async def make(days: float, *, status: str = "active"):
        async with pool.acquire() as connection, connection.transaction():
            tenant = await connection.fetchval("INSERT INTO tenants (slug) VALUES ('t') RETURNING id")
            domain = await connection.fetchval(
                """INSERT INTO custom_domains
                       (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status)
                   VALUES ($1, 'shop.example.com', 'x', now(), $2, 'issued') RETURNING id""",
                tenant,
                status,
            )
            end = NOW + timedelta(days=days)
            await connection.execute(
                """WITH made AS (
                       INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                           vault_version, directory_url)
                       VALUES ($1, 'ab', 'CA', repeat('f', 64), $2, $3, 1, 'x') RETURNING id)
                   UPDATE custom_domains SET certificate_id = made.id FROM made WHERE custom_domains.id = $1""",
                domain,
                end - timedelta(days=90),
                end,
            )
            await apply(connection, domain, "paused_by_tenant", "tenant:alice", finding=FINDING)
            await connection.execute("UPDATE custom_domains SET warn_at = $1", NOW)
        return domain

    return make


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


async def told(pool) -> list[int]:
    rows = await pool.fetch("SELECT payload FROM outbox WHERE event = 'domain.pause_expiring' ORDER BY id")
    return [json.loads(row["payload"])["days"] for row in rows]


async def test_it_is_warned_of_at_each_of_its_days_and_then_no_more(pool, paused) -> None:
    await paused(60)
    clock = Clock()
    warnings = PauseWarnings(pool, "control:test", clock)
    for day in range(62):
        clock.now = NOW + timedelta(days=day)
        await warnings.round()
        assert await warnings.round() == 0
    assert await told(pool) == list(WARNINGS)
    assert await pool.fetchval("SELECT warn_at IS NULL FROM custom_domains")


async def test_what_is_near_when_it_is_paused_is_told_at_once(pool, paused) -> None:
    await paused(5)
    assert await PauseWarnings(pool, "control:test", Clock()).round() == 1
    assert await told(pool) == [5]


async def test_a_domain_that_goes_on_is_not_warned_of(pool, paused) -> None:
    domain = await paused(5)
    async with pool.acquire() as connection, connection.transaction():
        await apply(connection, domain, "back_to_issued", "tenant:alice")
    assert await PauseWarnings(pool, "control:test", Clock()).round() == 0
    assert await told(pool) == []


async def test_one_that_the_release_before_has_resumed_is_no_longer_followed(pool, paused) -> None:
    await paused(5)
    await pool.execute("UPDATE custom_domains SET paused_from = NULL")  # by too many failures, then
    await pool.execute("UPDATE custom_domains SET ssl_status = 'error'")
    assert await PauseWarnings(pool, "control:test", Clock()).round() == 0
    assert await told(pool) == []
    assert await pool.fetchval("SELECT warn_at IS NULL FROM custom_domains")


async def test_one_that_has_moved_away_is_looked_at_again_later(pool, paused) -> None:
    await paused(5, status="moved")
    clock = Clock()
    warnings = PauseWarnings(pool, "control:test", clock)
    assert await warnings.round() == 1
    assert await told(pool) == []
    await pool.execute("UPDATE custom_domains SET status = 'active'")
    clock.now += LOOK_AGAIN
    assert await warnings.round() == 1
    assert await told(pool) == [4]


async def test_two_replicas_tell_it_once(pool, paused) -> None:
    domain = await paused(5)
    warnings = [PauseWarnings(pool, "control:test", Clock()) for _ in range(2)]
    assert sorted([await one._follow(domain) for one in warnings]) == [False, True]
    assert await told(pool) == [5]


@given(st.timedeltas(timedelta(days=-5), timedelta(days=100)))
def test_the_next_look_is_ahead_and_the_last_is_a_day_before_the_end(left) -> None:
    end = NOW + left
    then = next_look(end, NOW)
    assert then is None or (NOW < then < end and is_near(end, then))
    assert (then is None) == (left <= timedelta(days=1))
