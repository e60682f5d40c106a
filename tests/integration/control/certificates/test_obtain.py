"""A certificate obtained from Pebble, stored in OpenBao, recorded in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from scenes.issuance import SHORT, WRONG, Replica, Scene

from control.certificates.obtain import STEPS, Limits
from control.certificates.propagation import Propagation
from control.jobs import Again, Done, LeaseLost
from control.worker import JobMetrics, Worker
from core.feed import Sighting
from core.vault import certificate_path, pending_key_path
from embedded.pebble import Pebble
from embedded.ports import free_port


async def test_a_verified_domain_gets_a_certificate_and_goes_live(scene):
    domain_id = await scene.domain()
    steps = []
    assert await scene.replica.obtain(steps.append) == Done()
    assert tuple(steps) == STEPS
    certificate = await scene.assert_live(domain_id)
    assert certificate.names == (f"shop.{scene.zone}",)
    assert await scene.replica.vault.read(pending_key_path(domain_id)) is None
    assert await scene.count("jobs") == 0
    actions = await scene.replica.pool.fetch("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in actions] == ["ssl_order", "ssl_issue", "activate"]
    spent = await scene.replica.pool.fetch("SELECT bucket, key FROM rate_buckets WHERE tat > clock ORDER BY bucket")
    assert {tuple(row) for row in spent} == {
        ("certificate", scene.zone),
        ("exact_set", f"shop.{scene.zone}"),
        ("order", ""),
    }


async def test_its_chain_leads_to_the_cas_root_and_its_key_is_ecdsa_p256(scene):
    domain_id = await scene.domain()
    await scene.replica.obtain()
    certificate, _ = await scene.stored(domain_id)
    chain = x509.load_pem_x509_certificates(certificate.chain_pem.encode())
    chain[-1].verify_directly_issued_by(x509.load_pem_x509_certificate(scene.pebble.root_pem.encode()))
    key = serialization.load_pem_private_key(certificate.key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"


async def test_no_row_of_postgresql_holds_a_key(scene):
    domain_id = await scene.domain()
    await scene.replica.obtain()
    certificate, _ = await scene.stored(domain_id)
    body = "".join(certificate.key_pem.splitlines()[1:-1])
    for table in ("certificates", "acme_accounts", "acme_orders", "custom_domains", "audit", "outbox", "jobs"):
        for row in await scene.replica.pool.fetch(f"SELECT row_to_json(t)::text AS text FROM {table} t"):
            assert "PRIVATE" not in row["text"]
            assert body not in row["text"]


async def test_half_of_its_nonces_refused_and_slowly_validated_it_ends_all_the_same(
    database, vault_mount, dns_server, dns_zone, state_dir, pebble_package
):
    async with (
        Pebble.start(
            state_dir, dns_server=dns_server.address, http_port=free_port(), sleep_time=2, nonce_reject=50
        ) as pebble,
        Scene.start(database, vault_mount, pebble, dns_server, dns_zone.origin) as scene,
    ):
        domain_id = await scene.domain()
        assert await scene.replica.obtain() == Done()
        await scene.assert_live(domain_id)
        assert len(await scene.orders_at_ca()) == 1
        assert "Configured to reject 50% of good nonces" in pebble.log_path.read_text()


async def test_a_wrong_answer_is_counted_explained_and_tried_later_until_it_is_right(scene):
    domain_id = await scene.domain()
    scene.answers[f"shop.{scene.zone}"] = WRONG
    outcome = await scene.replica.obtain()
    assert isinstance(outcome, Again)
    assert timedelta(minutes=1) <= outcome.delay <= timedelta(minutes=1, seconds=12)
    domain = await scene.row("custom_domains", domain_id)
    assert (domain["status"], domain["ssl_status"], domain["failure_count"]) == ("verified", "error", 1)
    found = await scene.finding(domain_id)
    assert (found["code"], found["who"]) == ("challenge_wrong_answer", "tenant")
    assert found["detail"]["type"] == "urn:ietf:params:acme:error:unauthorized"
    spent = await scene.replica.pool.fetch("SELECT bucket FROM rate_buckets WHERE tat > clock ORDER BY bucket")
    assert [row["bucket"] for row in spent] == ["failed_validation", "failures_in_row", "order"], "no certificate came"
    assert (await scene.row("acme_orders", domain_id))["state"] == "failed"
    assert await scene.count("challenges") == 0

    scene.answers.clear()
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    assert await scene.count("acme_orders") == 2


async def test_the_key_authorization_that_the_ca_quotes_is_not_written_down(scene):
    domain_id = await scene.domain()
    scene.answers[f"shop.{scene.zone}"] = WRONG
    await scene.replica.obtain()
    client = await scene.replica.account.client()
    thumbprint = client.key_authorization("").removeprefix(".")
    found = await scene.finding(domain_id)
    assert WRONG in found["detail"]["detail"]  # the CA's own words are kept
    assert thumbprint not in json.dumps(found)
    assert thumbprint not in (await scene.row("acme_orders", domain_id))["problem"]


async def test_a_name_that_leads_nowhere_is_the_tenants_to_mend(scene):
    domain_id = await scene.domain()
    scene.dns.remove(f"shop.{scene.zone}")
    assert isinstance(await scene.replica.obtain(), Again)
    found = await scene.finding(domain_id)
    assert (found["code"], found["who"]) == ("challenge_unreachable", "tenant")


async def test_after_the_last_failure_the_domain_has_failed_and_nothing_is_tried_again(scene):
    domain_id = await scene.domain()
    scene.answers[f"shop.{scene.zone}"] = WRONG
    limits = Limits(failures=2)
    assert isinstance(await scene.replica.obtain(limits=limits), Again)
    await scene.time_passes()
    assert await scene.replica.obtain(limits=limits) == Done()
    domain = await scene.row("custom_domains", domain_id)
    assert (domain["status"], domain["ssl_status"], domain["failure_count"]) == ("failed", "paused", 2)
    assert await scene.count("jobs") == 0


@pytest.mark.parametrize("status", ["pending", "dns_check", "failed"])
async def test_for_a_domain_that_is_not_verified_nothing_is_ordered(scene, status):
    await scene.domain(status=status)
    assert await scene.replica.obtain() == Done()
    assert await scene.orders_at_ca() == []


async def test_a_ca_that_does_not_answer_is_nobodys_failure(scene):
    domain_id = await scene.domain()
    wiring = {**scene.wiring, "directory_url": f"https://127.0.0.1:{free_port()}/dir"}
    async with Replica.start(wiring) as replica:
        assert isinstance(await replica.obtain(), Again)
    domain = await scene.row("custom_domains", domain_id)
    assert (domain["status"], domain["failure_count"]) == ("verified", 0)
    found = await scene.finding(domain_id)
    assert (found["code"], found["who"]) == ("ca_unavailable", "ca")


async def test_an_order_that_the_ca_has_forgotten_is_closed_and_made_anew(scene):
    domain_id = await scene.domain()
    with pytest.raises(Stopped):
        await scene.replica.obtain(stop_after("order_known"))
    await scene.replica.pool.execute("UPDATE acme_orders SET order_url = order_url || 'x'")
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    assert await scene.count("acme_orders", "state = 'failed'") == 1


async def test_an_order_of_a_ca_that_is_no_longer_configured_is_closed(scene):
    domain_id = await scene.domain()
    await scene.replica.pool.execute(
        "INSERT INTO acme_orders (domain_id, directory_url, order_url) VALUES ($1, $2, $3)",
        domain_id,
        "https://old.example/dir",
        "https://old.example/order/1",
    )
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    assert await scene.count("acme_orders", "state = 'failed'") == 1


async def test_an_account_that_the_ca_has_forgotten_is_registered_again(scene):
    domain_id = await scene.domain()
    client = await scene.replica.account.client()
    client.account_url += "0"
    assert isinstance(await scene.replica.obtain(), Again)
    assert (await scene.finding(domain_id))["code"] == "ca_account_unknown"
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)


async def test_a_certificate_for_another_key_is_not_stored_and_its_order_is_closed(scene):
    domain_id = await scene.domain()
    with pytest.raises(Stopped):
        await scene.replica.obtain(stop_after("downloaded"))
    await scene.replica.vault.destroy(pending_key_path(domain_id))
    await scene.time_passes()
    assert isinstance(await scene.replica.obtain(), Again)
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None
    assert (await scene.finding(domain_id))["code"] == "certificate_key_mismatch"
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)


async def test_an_expired_certificate_is_not_stored(scene):
    domain_id = await scene.domain()
    outcome = await scene.replica.obtain(now=lambda: datetime.now(UTC) + timedelta(days=365 * 10))
    assert isinstance(outcome, Again)
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None
    assert (await scene.finding(domain_id))["code"] == "certificate_expired"


async def test_a_clock_that_is_slow_waits_for_the_certificate_it_has(scene):
    domain_id = await scene.domain()
    slow = datetime.now(UTC) - timedelta(days=1)
    assert isinstance(await scene.replica.obtain(now=lambda: slow), Again)
    assert (await scene.finding(domain_id))["code"] == "certificate_not_yet_valid"
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    assert len(await scene.orders_at_ca()) == 1


@pytest.mark.parametrize("step", ["order_written_down", "challenges_published", "authorizations_valid"])
async def test_deleted_before_it_is_finalized_nothing_is_issued(scene, background, step):
    domain_id = await scene.domain()
    assert await scene.replica.obtain(at(step, lambda: background.run(scene.delete(domain_id)))) == Done()
    assert await scene.count("certificates") == 0
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None
    client = await scene.replica.account.client()
    assert "valid" not in {(await client.order(url)).status for url in await scene.orders_at_ca()}
    assert await scene.count("jobs", "kind = 'revoke'") == 1


async def test_deleted_once_its_certificate_is_issued_nothing_is_stored_and_the_certificate_is_revoked(
    scene, background
):
    domain_id = await scene.domain()
    assert await scene.replica.obtain(at("finalized", lambda: background.run(scene.delete(domain_id)))) == Done()
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None
    assert await scene.replica.revoke() == Done()
    (row,) = await scene.replica.pool.fetch("SELECT serial, revoked_at FROM certificates")
    assert await scene.status_at_ca(row["serial"]) == "Revoked"
    assert row["revoked_at"] is not None
    assert await scene.replica.vault.read(pending_key_path(domain_id)) is None


async def test_a_key_that_arrives_after_the_domains_revocation_is_over_is_still_destroyed(scene, monkeypatch):
    """A worker is paused for longer than its lease, just before it writes."""
    domain_id = await scene.domain()
    read = scene.replica.vault.read_with_cas

    async def read_then_pause(path):
        found = await read(path)
        if path == certificate_path(domain_id):
            await scene.delete(domain_id)
            await scene.time_passes()
            async with Replica.start(scene.wiring, "other") as other:
                assert await other.revoke() == Done()
        return found

    monkeypatch.setattr(scene.replica.vault, "read_with_cas", read_then_pause)
    job = await scene.replica.claim()
    with pytest.raises(LeaseLost):
        await scene.replica.obtainer().obtain(job)
    assert await scene.replica.vault.read(certificate_path(domain_id)) is not None
    assert await scene.replica.revoke() == Done()
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None


async def test_a_worker_whose_lease_is_lost_orders_nothing(scene):
    await scene.domain()
    job = await scene.replica.claim()
    await scene.replica.pool.execute("UPDATE jobs SET lease_token = gen_random_uuid()")
    with pytest.raises(LeaseLost):
        await scene.replica.obtainer().obtain(job)
    assert await scene.orders_at_ca() == []


async def test_two_replicas_obtain_each_certificate_once_and_share_one_account(scene, eventually):
    domains = [await scene.domain(f"shop-{number}") for number in range(4)]

    async def all_done():
        return await scene.count("jobs") == 0

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(Replica.start(scene.wiring, name)) for name in ("one", "two")]
        for one in replicas:
            handler = one.obtainer(limits=SHORT).obtain
            await stack.enter_async_context(running(Worker(one.jobs, "obtain", handler, 2, new_metrics())))
        await eventually(all_done, timeout=30)
        assert len({(await one.account.client()).account_url for one in replicas}) == 1
    for domain_id in domains:
        await scene.assert_live(domain_id)
        assert (await scene.stored(domain_id))[1] == 1
    assert len(await scene.orders_at_ca()) == len(domains)
    actors = {row["actor"] for row in await scene.replica.pool.fetch("SELECT actor FROM audit")}
    assert actors == {"control:one", "control:two"}


async def test_it_goes_live_once_the_sidecars_have_read_the_change(scene):
    domain_id = await scene.domain()
    propagation = Propagation()
    propagation.heard(Sighting("one", 0).to_payload())
    statuses = []

    async def sidecar():
        while True:
            status = (await scene.row("custom_domains", domain_id))["status"]
            if await scene.count("certificates"):
                statuses.append(status)
                xid = await scene.replica.ledger.transaction_id()
                propagation.heard(Sighting("one", xid + 1).to_payload())
                return
            await asyncio.sleep(0.02)

    reading = asyncio.create_task(sidecar())
    limits = Limits(certificate_seen=timedelta(minutes=1))
    assert await scene.replica.obtain(propagation=propagation, limits=limits) == Done()
    await reading
    assert statuses == ["verified"]
    await scene.assert_live(domain_id)


async def test_a_sidecar_that_is_behind_does_not_hold_the_domain_up_for_ever(scene):
    domain_id = await scene.domain()
    propagation = Propagation()
    propagation.heard(Sighting("stuck", 0).to_payload())
    assert await scene.replica.obtain(propagation=propagation, limits=SHORT) == Done()
    await scene.assert_live(domain_id)


def new_metrics():
    return JobMetrics(CollectorRegistry())


@asynccontextmanager
async def running(worker):
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        async with asyncio.timeout(10):  # a worker that does not stop fails the test instead of holding it up
            await asyncio.gather(task, return_exceptions=True)


class Stopped(Exception):
    """The worker ends here, as if it had been killed."""


def at(step, action):
    def on_step(name):
        if name == step:
            action()

    return on_step


def stop_after(step):
    def stop():
        raise Stopped

    return at(step, stop)
