"""Keys that no upload stands for any more are destroyed in Vault, and no other."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from scenes.uploads import Uploading, leaf

HOUR = timedelta(hours=1)


async def test_a_withdrawn_key_is_destroyed_when_the_sidecars_have_had_their_time(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    await uploading.put(domain_id)
    uploading.clock.ahead += 2 * HOUR
    assert await uploading.clearing.round() == 0
    assert await uploading.versions(domain_id) == (1,)
    uploading.clock.ahead = timedelta(0)
    await uploading.uploads.delete(uploading.caller, domain_id)
    assert await uploading.clearing.round() == 0
    assert await uploading.versions(domain_id) == (1,), "somebody may read it still"
    uploading.clock.ahead += timedelta(minutes=6)
    assert await uploading.clearing.round() == 1
    assert await uploading.versions(domain_id) == ()
    assert await uploading.pool.fetchval("SELECT count(*) FROM upload_keys") == 0
    assert (await uploading.put(domain_id)).created, "and it may come again"
    assert await uploading.versions(domain_id) == (1,)


async def test_the_replaced_version_stays_readable(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    await uploading.put(domain_id)
    await uploading.put(domain_id)
    uploading.clock.ahead += 2 * HOUR
    assert await uploading.clearing.round() == 0
    assert await uploading.versions(domain_id) == (1, 2)


async def test_what_came_back_while_it_was_waiting_to_be_cleared_is_kept(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    pair = leaf("shop.example.com")
    await uploading.put(domain_id, pair)
    await uploading.uploads.delete(uploading.caller, domain_id)
    await uploading.put(domain_id, pair)
    uploading.clock.ahead += 2 * HOUR
    assert await uploading.clearing.round() == 0
    assert await uploading.versions(domain_id) == (1,), "the very same, at its place"


async def test_clearing_and_uploading_at_once_never_leave_a_row_without_its_key(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    for _ in range(6):
        await uploading.put(domain_id)
        await uploading.uploads.delete(uploading.caller, domain_id)
        await uploading.pool.execute("UPDATE upload_keys SET clear_at = now() - interval '1 hour'")
        await asyncio.gather(uploading.clearing.round(), uploading.put(domain_id), uploading.clearing.round())
        version = await uploading.pool.fetchval("SELECT vault_version FROM uploads WHERE ended_at IS NULL")
        assert version in await uploading.versions(domain_id)
        await uploading.uploads.delete(uploading.caller, domain_id)


async def test_what_has_ended_long_ago_is_forgotten_and_what_stands_is_not(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    await uploading.put(domain_id)
    await uploading.put(domain_id)
    await uploading.pool.execute("UPDATE uploads SET ended_at = now() - interval '31 days' WHERE ended_at IS NOT NULL")
    await uploading.pool.execute("UPDATE upload_attempts SET at = now() - interval '3 hours'")
    await uploading.clearing.round()
    rows = await uploading.pool.fetch("SELECT vault_version, ended_at FROM uploads")
    assert [tuple(row) for row in rows] == [(2, None)]
    assert await uploading.pool.fetchval("SELECT count(*) FROM upload_attempts") == 0
