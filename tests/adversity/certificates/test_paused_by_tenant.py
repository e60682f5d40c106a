"""A tenant pauses a domain while its certificate is on its way: nothing goes on or is lost, one order is spent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from scenes.issuance import SHORT, Scene

from api.auth import Principal
from control.certificates.obtain import STEPS
from control.certificates.renewals import Renewals
from control.domains.tenants import TenantDomains
from control.domains.transition import load
from control.housekeeping import tidy
from control.jobs import Done
from control.uploads.endings import wants_managed
from core.domain import Domain

UNTIL_RECORDED = STEPS[: STEPS.index("recorded")]


async def ask(scene: Scene, domain_id: UUID, name: str) -> Domain:
    """`name`: pause or resume. As the API does it, on connections of its own, so that any event loop may call it."""
    connection = await asyncpg.connect(scene.database.control_dsn)
    tenant = await connection.fetchval("SELECT tenant_id FROM custom_domains WHERE id = $1", domain_id)
    await connection.close()
    async with asyncpg.create_pool(scene.database.api_dsn, min_size=0, max_size=1) as pool:
        domain: Domain = await getattr(TenantDomains(pool, timedelta(hours=72), 5), name)(
            Principal(tenant, "alice"), domain_id
        )
    return domain


@pytest.fixture
def pausing(scene: Scene, background: Any) -> Callable[[UUID, str], Callable[[str], None]]:
    """`pausing(domain_id, step)`: it is paused just after the step."""

    def at(domain_id: UUID, wanted: str) -> Callable[[str], None]:
        def on_step(name: str) -> None:
            if name == wanted:
                background.run(ask(scene, domain_id, "pause"))

        return on_step

    return at


async def found(scene: Scene, domain_id: UUID) -> Domain:
    async with scene.replica.pool.acquire() as connection:
        domain = await load(connection, domain_id)
    assert domain is not None
    return domain


async def status(scene: Scene, domain_id: UUID) -> tuple[str, str]:
    domain = await found(scene, domain_id)
    return domain.status, domain.ssl_status


@pytest.mark.parametrize("step", UNTIL_RECORDED)
async def test_paused_on_the_way_its_job_ends_and_resumed_it_ends_with_the_same_order(scene, pausing, step) -> None:
    domain_id = await scene.domain()
    assert await scene.replica.obtain(pausing(domain_id, step), limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("verified", "paused")
    assert await scene.count("jobs") == await scene.count("certificates") == 0
    assert (await scene.finding(domain_id))["code"] == "paused_by_tenant"
    assert await tidy(scene.replica.pool)
    assert await scene.count("jobs") == 0, "nothing wakes it"
    await ask(scene, domain_id, "resume")
    assert await scene.replica.obtain(limits=SHORT) == Done()
    await scene.assert_live(domain_id)
    assert len(await scene.orders_at_ca()) == await scene.count("acme_orders") == 1


@pytest.mark.parametrize("step", ["recorded", "seen"])
async def test_paused_with_its_certificate_there_it_is_served(scene, pausing, step) -> None:
    domain_id = await scene.domain()
    assert await scene.replica.obtain(pausing(domain_id, step), limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("active", "paused")
    assert (await scene.finding(domain_id))["code"] == "paused_by_tenant"
    assert (await ask(scene, domain_id, "resume")).ssl_status == "issued"
    assert await scene.count("jobs") == 0
    await scene.assert_live(domain_id)


async def test_killed_with_its_certificate_recorded_and_paused_since_it_is_served_all_the_same(scene) -> None:
    def killed(step: str) -> None:
        if step == "recorded":
            raise KeyboardInterrupt

    domain_id = await scene.domain()
    with pytest.raises(KeyboardInterrupt):
        await scene.replica.obtainer(killed).obtain(await scene.replica.claim())
    await ask(scene, domain_id, "pause")
    await scene.time_passes()
    assert await scene.replica.obtain(limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("active", "paused")


async def test_a_renewal_that_is_paused_goes_on_as_one(scene, pausing) -> None:
    domain_id = await scene.domain()
    assert await scene.replica.obtain(limits=SHORT) == Done()
    await scene.replica.pool.execute("UPDATE custom_domains SET renew_at = now()")
    renewals = Renewals(scene.replica.pool, "control:test")
    assert await renewals.due() == 1
    assert await scene.replica.obtain(pausing(domain_id, "challenges_answered"), limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("active", "paused")
    assert await renewals.due() == await scene.count("jobs") == 0
    assert (await ask(scene, domain_id, "resume")).ssl_status == "expiring"
    assert await scene.replica.obtain(limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("active", "renewed")
    assert len(await scene.orders_at_ca()) == 2


async def test_what_paused_by_itself_and_then_by_its_tenant_does_not_go_on_by_itself(scene) -> None:
    domain_id = await scene.domain()
    assert await scene.replica.obtain(limits=SHORT) == Done()
    await scene.replica.pool.execute("UPDATE custom_domains SET ssl_status = 'paused', failure_count = 10")
    await scene.replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", domain_id)
    await ask(scene, domain_id, "pause")
    await scene.time_passes()
    assert await scene.replica.obtain(limits=SHORT) == Done(), "the job of the daily look"
    assert await status(scene, domain_id) == ("active", "paused")
    assert not wants_managed(await found(scene, domain_id)), "nor when an uploaded certificate ends"
    assert (await ask(scene, domain_id, "resume")).ssl_status == "error"
    assert await scene.replica.obtain(limits=SHORT) == Done()
    assert await status(scene, domain_id) == ("active", "renewed")


async def test_paused_and_resumed_while_a_run_is_under_way_the_run_just_goes_on(scene, background) -> None:
    domain_id = await scene.domain()

    def on_step(name: str) -> None:
        if name == "authorizations_valid":
            for one in ("pause", "resume"):
                background.run(ask(scene, domain_id, one))

    assert await scene.replica.obtain(on_step, limits=SHORT) == Done()
    await scene.assert_live(domain_id)
    assert await scene.count("jobs") == 1, "resuming asked for one more look, which finds it done"
    assert await scene.replica.obtain(limits=SHORT) == Done()
    assert await scene.count("jobs") == 0
    assert len(await scene.orders_at_ca()) == 1


async def test_deleted_while_it_is_paused_its_unrecorded_certificate_is_revoked(scene, pausing) -> None:
    domain_id = await scene.domain()
    assert await scene.replica.obtain(pausing(domain_id, "finalized"), limits=SHORT) == Done()
    await scene.delete(domain_id)
    assert await scene.replica.revoke() == Done()
    (row,) = await scene.replica.pool.fetch("SELECT serial, revoked_at FROM certificates")
    assert await scene.status_at_ca(row["serial"]) == "Revoked"
