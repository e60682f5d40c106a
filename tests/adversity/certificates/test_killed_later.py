"""SIGKILL after every single step of a renewal, and of what is left to do for a deleted domain."""

from __future__ import annotations

import signal

import pytest
from scenes.issuance import Scene
from scenes.mortal import Mortals

from control.certificates import obtain, revoke
from control.domains import transition
from control.jobs import Done
from core.vault import certificate_path, pending_key_path


@pytest.fixture(scope="module")
def mortals():
    with Mortals.start() as mortals:
        yield mortals


async def due(scene: Scene, domain_id) -> None:
    """As the scheduler begins a renewal."""
    async with scene.replica.pool.acquire() as connection, connection.transaction():
        await transition.apply(connection, domain_id, "expiry_near", "control:test")
        await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", domain_id)


async def assert_renewed_once(scene: Scene, domain_id, before: str) -> None:
    domain = await scene.row("custom_domains", domain_id)
    assert (domain["status"], domain["ssl_status"], domain["failure_count"]) == ("active", "renewed", 0)
    certificate, version = await scene.stored(domain_id)
    assert certificate.fingerprint != before
    assert version == 2
    assert domain["cert_expiry"] == certificate.not_after
    assert await scene.count("certificates") == 2
    assert await scene.count("acme_orders", "state = 'issued'") == 2
    assert len(await scene.orders_at_ca()) == 2
    assert await scene.count("audit", "action = 'ssl_renew'") == 1
    assert await scene.replica.vault.read(pending_key_path(domain_id)) is None
    assert await scene.count("jobs") == 0


async def test_a_renewal_that_is_killed_after_every_step_in_turn_ends_with_one_order(scene, mortals):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    before = (await scene.stored(domain_id))[0].fingerprint
    await due(scene, domain_id)
    for step in obtain.STEPS:
        assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL, step
        if step in obtain.STEPS[: obtain.STEPS.index("recorded")]:
            served = await scene.row("custom_domains", domain_id)
            facts = await scene.replica.pool.fetchrow(
                "SELECT fingerprint, vault_version FROM certificates WHERE id = $1", served["certificate_id"]
            )
            assert tuple(facts) == (before, 1), "the old one is served until the new one is recorded"
            assert await scene.replica.vault.read(certificate_path(domain_id), 1) is not None
        await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    await assert_renewed_once(scene, domain_id, before)


@pytest.mark.parametrize("step", revoke.STEPS)
async def test_a_deletion_that_is_killed_after_a_step_still_revokes_and_destroys_everything(scene, mortals, step):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    serial = (await scene.stored(domain_id))[0].serial
    await scene.delete(domain_id)
    assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL
    await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    assert await scene.status_at_ca(serial) == "Revoked"
    assert await scene.replica.vault.read_with_cas(certificate_path(domain_id)) == (None, 0)
    assert await scene.count("audit", "action = 'ssl_revoke'") == 1
    assert await scene.count("certificates", "revoked_at IS NOT NULL") == 1
    assert await scene.count("jobs") == 0


@pytest.mark.parametrize("step", obtain.STEPS)
async def test_a_deletion_in_the_middle_of_an_order_whose_worker_was_killed_leaves_nothing(scene, mortals, step):
    domain_id = await scene.domain()
    assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL
    await scene.delete(domain_id)
    await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    assert await scene.replica.vault.read_with_cas(certificate_path(domain_id)) == (None, 0)
    assert await scene.replica.vault.read_with_cas(pending_key_path(domain_id)) == (None, 0)
    assert await scene.count("acme_orders", "state = 'open'") == 0
    assert await scene.count("challenges") == 0
    assert await scene.count("jobs") == 0
    for row in await scene.replica.pool.fetch("SELECT serial FROM certificates"):
        assert await scene.status_at_ca(row["serial"]) == "Revoked"
