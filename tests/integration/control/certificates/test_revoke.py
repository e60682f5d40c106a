"""After a deletion: certificates revoked at Pebble, keys destroyed in OpenBao."""

from __future__ import annotations

import json

import pytest
from scenes.issuance import Replica

from control.certificates.revoke import STEPS
from control.jobs import Again, Done, LeaseLost
from core.vault import certificate_path, pending_key_path
from embedded.ports import free_port


async def obtained_and_deleted(scene):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    certificate, _ = await scene.stored(domain_id)
    await scene.delete(domain_id)
    return domain_id, certificate


async def test_the_certificate_of_a_deleted_domain_is_revoked_and_its_key_destroyed(scene):
    domain_id, certificate = await obtained_and_deleted(scene)
    assert await scene.status_at_ca(certificate.serial) == "Valid"
    assert await scene.replica.revoke() == Done()
    assert await scene.status_at_ca(certificate.serial) == "Revoked"
    assert await scene.replica.vault.versions(certificate_path(domain_id)) == ()
    assert await scene.replica.vault.read_with_cas(certificate_path(domain_id)) == (None, 0)
    assert (await scene.row("certificates", domain_id))["revoked_at"] is not None
    (audited,) = await scene.replica.pool.fetch("SELECT detail FROM audit WHERE action = 'ssl_revoke'")
    assert json.loads(audited["detail"]) == {"serial": certificate.serial, "reason": 5}
    assert await scene.count("jobs") == 0


async def test_it_can_be_repeated_from_any_point(scene):
    domain_id, certificate = await obtained_and_deleted(scene)
    for step in STEPS:
        job = await scene.replica.claim("revoke")
        with pytest.raises(Stopped):
            await scene.replica.revoker(stop_after(step)).revoke(job)
        await scene.time_passes()
    assert await scene.replica.revoke() == Done()
    assert await scene.status_at_ca(certificate.serial) == "Revoked"
    assert await scene.count("audit", "action = 'ssl_revoke'") == 1
    assert await scene.replica.vault.read_with_cas(certificate_path(domain_id)) == (None, 0)


async def test_a_certificate_that_is_revoked_at_the_ca_already_is_no_trouble(scene):
    domain_id, certificate = await obtained_and_deleted(scene)
    job = await scene.replica.claim("revoke")
    with pytest.raises(Stopped):
        await scene.replica.revoker(stop_after("revoked")).revoke(job)
    await scene.replica.pool.execute("UPDATE certificates SET revoked_at = NULL")
    await scene.time_passes()
    assert await scene.replica.revoke() == Done()
    assert (await scene.row("certificates", domain_id))["revoked_at"] is not None
    assert await scene.status_at_ca(certificate.serial) == "Revoked"


async def test_every_version_in_vault_is_revoked_not_only_the_latest(scene):
    """As after a renewal: two certificates, both of them still good."""
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    first, _ = await scene.stored(domain_id)
    await scene.replica.pool.execute("UPDATE custom_domains SET ssl_status = 'expiring'")
    await scene.replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", domain_id)
    assert await scene.replica.obtain() == Done()
    second, version = await scene.stored(domain_id)
    assert version == 2
    assert first.serial != second.serial
    await scene.delete(domain_id)
    assert await scene.replica.revoke() == Done()
    assert {await scene.status_at_ca(one.serial) for one in (first, second)} == {"Revoked"}
    assert await scene.count("certificates", "revoked_at IS NOT NULL") == 2


async def test_while_the_ca_is_away_the_key_stays_for_the_request(scene):
    domain_id, certificate = await obtained_and_deleted(scene)
    away = f"https://127.0.0.1:{free_port()}/dir"
    await scene.replica.pool.execute("UPDATE certificates SET directory_url = $1", away)
    async with Replica.start({**scene.wiring, "directory_url": away}) as replica:
        assert isinstance(await replica.revoke(), Again)
    assert await scene.replica.vault.versions(certificate_path(domain_id)) == (1,)
    await scene.replica.pool.execute("UPDATE certificates SET directory_url = $1", scene.pebble.directory_url)
    await scene.time_passes()
    assert await scene.replica.revoke() == Done()
    assert await scene.status_at_ca(certificate.serial) == "Revoked"


async def test_a_domain_that_never_had_a_certificate_loses_its_pending_key_and_its_challenges(scene):
    domain_id = await scene.domain()
    with pytest.raises(Stopped):
        await scene.replica.obtain(stop_after("challenges_published"))
    assert await scene.count("challenges") == 1
    await scene.delete(domain_id)
    await scene.time_passes()
    assert await scene.replica.revoke() == Done()
    assert await scene.count("challenges") == 0
    assert await scene.replica.vault.read_with_cas(pending_key_path(domain_id)) == (None, 0)
    assert await scene.count("acme_orders", "state = 'open'") == 0


async def test_a_domain_that_is_not_deleted_keeps_everything(scene):
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    await scene.replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'revoke')", domain_id)
    assert await scene.replica.revoke() == Done()
    certificate = await scene.assert_live(domain_id)
    assert await scene.status_at_ca(certificate.serial) == "Valid"


async def test_a_worker_whose_lease_is_lost_records_nothing(scene):
    await obtained_and_deleted(scene)
    job = await scene.replica.claim("revoke")
    await scene.replica.pool.execute("UPDATE jobs SET lease_token = gen_random_uuid()")
    with pytest.raises(LeaseLost):
        await scene.replica.revoker().revoke(job)
    assert await scene.count("certificates", "revoked_at IS NOT NULL") == 0
    assert await scene.count("audit", "action = 'ssl_revoke'") == 0


class Stopped(Exception):
    """The worker ends here, as if it had been killed."""


def stop_after(step):
    def on_step(name):
        if name == step:
            raise Stopped

    return on_step
