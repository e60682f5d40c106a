"""A proven domain with an uploaded certificate goes live without a CA; one that is not proven waits."""

from __future__ import annotations

import asyncio

import pytest
from scenes.uploads import Uploading


async def test_a_proven_domain_is_active_when_the_sidecars_have_read_of_its_certificate(uploading: Uploading) -> None:
    domain_id = await uploading.domain()
    assert await uploading.activation.round() == 0
    await uploading.put(domain_id)
    assert await uploading.announced() == 2, "when it was proven, and with its certificate"
    assert await uploading.activation.round() == 1
    row = await uploading.row(domain_id)
    assert (row["status"], row["ssl_status"]) == ("active", "none"), "the managed one is another matter"
    assert await uploading.activation.round() == 0
    events = await uploading.pool.fetch("SELECT event FROM outbox ORDER BY id")
    assert [event["event"] for event in events] == ["domain.upload", "domain.activate"]


async def test_a_sidecar_that_does_not_come_is_not_waited_for_for_ever(uploading: Uploading) -> None:
    domain_id = await uploading.domain()
    await uploading.put(domain_id)
    uploading.sidecar(1)  # it has read nothing since
    assert await uploading.activation.round() == 1
    assert (await uploading.row(domain_id))["status"] == "active"


@pytest.mark.parametrize("status", ["pending", "dns_check", "failed"])
async def test_what_is_not_proven_is_not_served(uploading: Uploading, status: str) -> None:
    domain_id = await uploading.domain(status=status)
    await uploading.put(domain_id)
    assert await uploading.activation.round() == 0
    assert await uploading.pool.fetch("SELECT * FROM domains_v1") == []
    assert await uploading.announced() == 0
    await uploading.pool.execute("UPDATE custom_domains SET status = 'verified'")
    (shown,) = await uploading.pool.fetch("SELECT * FROM domains_v1")
    assert shown["uploaded"]
    assert await uploading.activation.round() == 1


async def test_two_replicas_take_the_step_once(uploading: Uploading) -> None:
    for label in ("a", "b", "c"):
        domain_id = await uploading.domain(f"{label}.example.com")
        await uploading.put(domain_id, hostname=f"{label}.example.com")
    assert sum(await asyncio.gather(*(uploading.activation.round() for _ in range(4)))) == 3
    assert await uploading.pool.fetchval("SELECT count(*) FROM audit WHERE action = 'activate'") == 3


async def test_a_domain_deleted_meanwhile_stays_so(uploading: Uploading) -> None:
    domain_id = await uploading.domain()
    await uploading.put(domain_id)
    await uploading.pool.execute("UPDATE custom_domains SET deleted_at = now()")
    assert await uploading.activation.round() == 0
