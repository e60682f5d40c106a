"""An uploaded certificate's end: its tenant is warned, and the managed one takes over by a change."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.hierarchy import NOW
from scenes.uploads import Uploading, leaf

DAY = timedelta(days=1)


async def active(uploading: Uploading, lifetime: timedelta = 40 * DAY, *, managed: bool = True) -> UUID:
    domain_id = await uploading.domain(status="active", ssl="none")
    if managed:
        await uploading.manage(domain_id)
    await uploading.put(domain_id, leaf("shop.example.com", end=NOW + lifetime))
    return domain_id


def at(uploading: Uploading, moment: datetime) -> None:
    uploading.clock.ahead += moment - uploading.clock()


async def messages(uploading: Uploading) -> list[dict[str, Any]]:
    rows = await uploading.pool.fetch("SELECT payload FROM outbox WHERE event = 'domain.upload_expiring' ORDER BY id")
    return [json.loads(row["payload"]) for row in rows]


async def test_its_tenant_is_warned_30_14_7_and_1_days_before_the_end_and_the_managed_one_takes_over(
    uploading: Uploading,
) -> None:
    domain_id = await active(uploading)
    end = NOW + 40 * DAY
    assert await uploading.endings.round() == 0
    for days in (30, 14, 7, 1):
        at(uploading, end - days * DAY - timedelta(minutes=1))
        assert await uploading.endings.round() == 0
        at(uploading, end - days * DAY + timedelta(minutes=1))
        assert await uploading.endings.round() == 1
        assert await uploading.endings.round() == 0, "once"
        assert (await messages(uploading))[-1]["days"] == days
    announced = await uploading.announced()
    at(uploading, end - timedelta(minutes=61))
    assert await uploading.endings.round() == 0
    at(uploading, end - timedelta(minutes=59))
    assert await uploading.endings.round() == 1
    assert await uploading.announced() == announced + 1
    (shown,) = await uploading.pool.fetch("SELECT * FROM domains_v1")
    assert (shown["uploaded"], shown["fingerprint"], shown["status"]) == (False, "f" * 64, "active")
    assert await uploading.told() == ["upload", *["upload_expiring"] * 4, "upload_expire"]
    assert await uploading.pool.fetchval("SELECT ended_by FROM uploads") == "expired"
    assert (await uploading.row(domain_id))["upload_id"] is None
    assert await uploading.endings.round() == 0


async def test_what_had_passed_when_it_was_uploaded_is_not_told(uploading: Uploading) -> None:
    await active(uploading, 10 * DAY)
    assert await uploading.endings.round() == 0
    at(uploading, NOW + 4 * DAY)
    assert await uploading.endings.round() == 1
    assert [message["days"] for message in await messages(uploading)] == [7]


async def test_after_a_long_outage_one_warning_is_told(uploading: Uploading) -> None:
    await active(uploading)
    at(uploading, NOW + 35 * DAY)
    assert await uploading.endings.round() == 1
    assert [message["days"] for message in await messages(uploading)] == [7]
    assert await uploading.endings.round() == 0


async def test_without_another_it_is_served_to_its_end_and_one_is_asked_for_meanwhile(uploading: Uploading) -> None:
    domain_id = await active(uploading, managed=False)
    await uploading.pool.execute("UPDATE custom_domains SET ssl_status = 'paused', failure_count = 10")
    await uploading.pool.execute("DELETE FROM jobs")
    at(uploading, NOW + 10 * DAY + timedelta(minutes=1))
    assert await uploading.endings.round() == 1
    row = await uploading.row(domain_id)
    assert (row["ssl_status"], row["failure_count"]) == ("error", 0), "a managed one is tried for again"
    assert await uploading.pool.fetchval("SELECT kind FROM jobs") == "obtain"
    (message,) = await messages(uploading)
    assert message["who"] == "tenant"

    at(uploading, NOW + 40 * DAY - timedelta(minutes=30))
    assert await uploading.endings.round() == 1
    assert (await uploading.row(domain_id))["upload_id"] is not None, "an hour of it is better than nothing"
    assert await uploading.endings.round() == 0
    at(uploading, NOW + 40 * DAY)
    assert await uploading.endings.round() == 1
    row = await uploading.row(domain_id)
    assert (row["upload_id"], row["status"]) == (None, "active")


async def test_a_managed_one_that_ends_sooner_is_none_to_fall_back_on(uploading: Uploading) -> None:
    domain_id = await active(uploading, managed=False)
    await uploading.manage(domain_id, 20 * DAY)
    at(uploading, NOW + 40 * DAY - timedelta(minutes=30))
    assert await uploading.endings.round() == 1
    assert (await uploading.row(domain_id))["upload_id"] is not None


async def test_one_uploaded_in_time_begins_anew(uploading: Uploading) -> None:
    domain_id = await active(uploading)
    at(uploading, NOW + 33 * DAY)
    assert await uploading.endings.round() == 1
    await uploading.put(domain_id, leaf("shop.example.com", end=NOW + 90 * DAY))
    at(uploading, NOW + 41 * DAY)
    assert await uploading.endings.round() == 0
    assert (await uploading.row(domain_id))["upload_id"] is not None
    assert await uploading.told() == ["upload", "upload_expiring", "upload_replace"]


async def test_a_certificate_of_a_domain_that_is_not_proven_ends_too(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="pending")
    await uploading.put(domain_id)
    at(uploading, NOW + 31 * DAY)
    assert await uploading.endings.round() == 1
    await uploading.pool.execute("UPDATE custom_domains SET status = 'verified'")
    (shown,) = await uploading.pool.fetch("SELECT * FROM domains_v1")
    assert (shown["uploaded"], shown["fingerprint"]) == (False, None)


@pytest.mark.parametrize("status", ["active", "moved", "verified"])
async def test_replicas_do_it_once_whatever_the_status(uploading: Uploading, status: str) -> None:
    await active(uploading)
    await uploading.pool.execute("UPDATE custom_domains SET status = $1", status)
    at(uploading, NOW + 41 * DAY)
    await asyncio.gather(*(uploading.endings.round() for _ in range(4)))
    assert await uploading.told() == ["upload", "upload_expire"]


async def test_that_of_a_deleted_domain_is_let_go(uploading: Uploading) -> None:
    await active(uploading)
    await uploading.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    at(uploading, NOW + 41 * DAY)
    assert await uploading.endings.round() == 1
    assert await uploading.endings.round() == 0
    assert await uploading.pool.fetchval("SELECT ended_by FROM uploads") == "deleted"
