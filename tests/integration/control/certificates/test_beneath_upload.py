"""The managed certificate of a domain that is served with its tenant's own: it lives on beneath, and may fail there."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
from scenes.issuance import WRONG, Scene
from scenes.uploads import VERIFY_TTL, chain, leaf

from api.auth import Principal
from control.certificates.obtain import Limits as Bounds
from control.certificates.propagation import Propagation
from control.certificates.renewals import Renewals
from control.housekeeping import tidy
from control.jobs import Again, Done
from control.uploads.activation import Activation
from control.uploads.tenant import TenantUploads
from core.vault import upload_path

ONE = Bounds(ca=timedelta(seconds=20), certificate_seen=timedelta(seconds=1), failures=1)


async def upload(scene: Scene, domain_id: UUID) -> None:
    row = await scene.row("custom_domains", domain_id)
    async with asyncpg.create_pool(scene.database.api_dsn, min_size=0, max_size=2) as pool:
        pair = leaf(row["hostname"])
        uploads = TenantUploads(pool, scene.replica.vault, VERIFY_TTL)
        await uploads.put(Principal(row["tenant_id"], "alice"), domain_id, chain(pair), pair.key_pem)


async def activate(scene: Scene) -> int:
    return await Activation(scene.replica.pool, Propagation(), "control:test", timedelta(seconds=0.1)).round()


async def status(scene: Scene, domain_id: UUID) -> tuple[str, str]:
    row = await scene.row("custom_domains", domain_id)
    return row["status"], row["ssl_status"]


async def test_it_is_obtained_and_renewed_and_what_is_served_stays_the_uploaded_one(scene: Scene) -> None:
    domain_id = await scene.domain()
    await upload(scene, domain_id)
    assert await activate(scene) == 1
    assert await status(scene, domain_id) == ("active", "none")
    assert await scene.replica.obtain() == Done()
    assert await status(scene, domain_id) == ("active", "issued")
    announced = await scene.count("changes", "kind = 'domain'")

    await scene.replica.pool.execute("UPDATE custom_domains SET renew_at = now()")
    assert await Renewals(scene.replica.pool, "control:test").due() == 1
    assert await scene.replica.obtain() == Done()
    assert await status(scene, domain_id) == ("active", "renewed")
    assert await scene.count("changes", "kind = 'domain'") == announced, "no Envoy is told of it"
    (shown,) = await scene.replica.pool.fetch("SELECT * FROM domains_v1")
    assert shown["uploaded"]
    await scene.replica.pool.execute("UPDATE uploads SET ended_at = now(), ended_by = 'withdrawn'")
    await scene.replica.pool.execute("UPDATE custom_domains SET upload_id = NULL")
    (shown,) = await scene.replica.pool.fetch("SELECT * FROM domains_v1")
    assert (shown["uploaded"], shown["fingerprint"]) == (False, (await scene.stored(domain_id))[0].fingerprint)


async def test_what_the_ca_refuses_pauses_it_and_the_domain_is_served(scene: Scene) -> None:
    domain_id = await scene.domain()
    hostname = (await scene.row("custom_domains", domain_id))["hostname"]
    await upload(scene, domain_id)
    scene.answers[hostname] = WRONG
    assert isinstance(await scene.replica.obtain(limits=ONE), Again), "it is looked at again, as an active one's is"
    assert await status(scene, domain_id) == ("verified", "paused"), "not failed: there is something to serve"
    assert await activate(scene) == 1
    assert await status(scene, domain_id) == ("active", "paused")

    scene.answers.clear()
    await scene.time_passes()
    assert await scene.replica.obtain(limits=ONE) == Done()
    assert await status(scene, domain_id) == ("active", "issued")


async def test_without_an_upload_the_same_ends_in_failed_and_an_upload_begins_its_proof_anew(scene: Scene) -> None:
    domain_id = await scene.domain()
    hostname = (await scene.row("custom_domains", domain_id))["hostname"]
    scene.answers[hostname] = WRONG
    assert await scene.replica.obtain(limits=ONE) == Done()
    assert await status(scene, domain_id) == ("failed", "paused")
    await upload(scene, domain_id)
    assert await status(scene, domain_id) == ("pending", "error")
    assert await scene.count("jobs", "kind = 'verify'") == 1
    assert await activate(scene) == 0


async def test_a_domain_that_went_live_before_it_had_a_job_gets_one(scene: Scene) -> None:
    domain_id = await scene.domain()
    await upload(scene, domain_id)
    await activate(scene)
    await scene.replica.pool.execute("DELETE FROM jobs")
    assert await tidy(scene.replica.pool)
    assert await scene.replica.obtain() == Done()
    assert await status(scene, domain_id) == ("active", "issued")


async def test_a_deleted_domains_uploaded_key_is_destroyed_with_it(scene: Scene) -> None:
    domain_id = await scene.domain()
    await upload(scene, domain_id)
    await activate(scene)
    await scene.replica.obtain()
    await scene.delete(domain_id)
    assert await scene.replica.revoke() == Done()
    assert await scene.replica.vault.read_with_cas(upload_path(domain_id)) == (None, 0)
    assert await scene.count("uploads", "ended_by = 'deleted'") == 1
    assert await scene.count("upload_keys", "clear_at IS NOT NULL") == 1, "an upload may have been on its way"


async def test_a_name_that_moves_to_another_tenant_takes_no_key_along(scene: Scene) -> None:
    """The other tenant's domain is another one, with a path of its own."""
    domain_id = await scene.domain()
    await upload(scene, domain_id)
    await activate(scene)
    await scene.delete(domain_id)
    hostname = (await scene.row("custom_domains", domain_id))["hostname"]
    tenant = await scene.replica.pool.fetchval("INSERT INTO tenants (slug) VALUES ('other') RETURNING id")
    other = uuid4()
    await scene.replica.pool.execute(
        """INSERT INTO custom_domains (id, tenant_id, hostname, verification_token, verify_deadline, status)
           VALUES ($1, $2, $3, 'token', now(), 'verified')""",
        other,
        tenant,
        hostname,
    )
    (shown,) = await scene.replica.pool.fetch("SELECT * FROM domains_v1")
    assert (shown["domain_id"], shown["uploaded"], shown["fingerprint"]) == (other, False, None)
    assert await activate(scene) == 0
