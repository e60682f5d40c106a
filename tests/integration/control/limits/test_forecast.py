"""What a domain is told that waits for its turn, as the tenants' API asks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from control.jobs import Jobs
from control.limits.forecast import Forecast
from control.limits.limits import Limits
from control.limits.policy import LETSENCRYPT, NONE
from core.domain import NextAttempt

CA = "https://ca.test/directory"
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def forecast(api: asyncpg.Connection[Any], tenant: UUID, domain: UUID, policy=LETSENCRYPT) -> NextAttempt | None:
    async with api.transaction():
        await api.execute("SELECT set_config('app.current_tenant', $1, true)", str(tenant))
        return await Forecast(CA, policy, lambda: START).of(api, domain)


@pytest.fixture
async def spent(pool: asyncpg.Pool[Any]) -> None:
    """The account's last order is gone."""
    limits = Limits(lambda hostname: hostname, now=lambda: START)
    async with pool.acquire() as connection, connection.transaction():
        for number in range(285):
            await limits.take(connection, CA, [f"d{number}.example"])


async def test_the_queue_moves_by_one_order_in_36_seconds(pool, api, spent, add_tenant, add_domains) -> None:
    tenant = await add_tenant()
    domains = await add_domains(tenant, "a", 101)
    found = await forecast(api, tenant, domains[100])
    assert found is not None
    assert (found.code, found.at) == ("queued", START + timedelta(seconds=36 * 101))
    assert found.message == (
        "About 100 orders are before this one at the CA's rate limit; the next attempt is about 2026-11-21 13:00 UTC."
    )
    assert await forecast(api, tenant, domains[0]) is None, "it is within the minute"
    assert await forecast(api, tenant, domains[100], NONE) is None


async def test_renewals_take_every_second_order(pool, api, spent, add_tenant, add_domains, give_certificate) -> None:
    tenant = await add_tenant()
    renewals = await add_domains(tenant, "r", 3)
    for domain in renewals:
        await give_certificate(domain, datetime.now(UTC) - timedelta(days=60), datetime.now(UTC) + timedelta(days=30))
    await pool.execute("UPDATE jobs SET kind = 'verify'")
    await pool.execute("UPDATE jobs SET kind = 'obtain'")
    domains = await add_domains(tenant, "a", 11)
    found = await forecast(api, tenant, domains[10])
    assert found is not None
    assert found.at == START + timedelta(seconds=36 * 14)


async def test_the_cas_own_word_comes_first(pool, api, add_tenant, add_domains) -> None:
    tenant = await add_tenant()
    [domain] = await add_domains(tenant, "a", 1)
    until = START + timedelta(hours=2)
    async with pool.acquire() as connection:
        limits = Limits(lambda hostname: hostname, now=lambda: START)
        await limits.refused_by_ca(connection, CA, "a.example", "too many new orders", until)
    found = await forecast(api, tenant, domain)
    assert found is not None
    assert found.at == until
    assert found.message.startswith("No order is before this one")


async def test_another_tenants_domain_and_one_that_does_not_wait_have_no_forecast(
    pool, api, spent, add_tenant, add_domains
) -> None:
    tenant = await add_tenant()
    domains = await add_domains(tenant, "a", 50)
    assert await forecast(api, await add_tenant(), domains[49]) is None
    await Jobs(pool, "a").claim("obtain", 50)
    assert await forecast(api, tenant, domains[49]) is None
    await pool.execute("UPDATE jobs SET lease_token = NULL, lease_until = NULL, run_at = now() + interval '1 hour'")
    assert await forecast(api, tenant, domains[49]) is None
    await pool.execute("UPDATE jobs SET run_at = now()")
    assert await forecast(api, tenant, domains[49]) is not None
    await pool.execute("UPDATE custom_domains SET deleted_at = now()")
    assert await forecast(api, tenant, domains[49]) is None


async def test_the_workers_may_ask_for_any_domain(pool, spent, add_tenant, add_domains) -> None:
    domains = await add_domains(await add_tenant(), "a", 50)
    assert await Forecast(CA, LETSENCRYPT, lambda: START).of(pool, domains[49]) is not None
