"""Certificates by DNS-01 from a real CA, which follows the tenant's CNAME into the platform's zone on a real Knot."""

import json
from datetime import timedelta

import pytest
from scenes.delegated import Delegated

from control.certificates.obtain import STEPS, Limits
from control.jobs import Again, Done

PATIENT = Limits(ca=timedelta(seconds=60), certificate_seen=timedelta(seconds=1))
FAILING = Limits(ca=timedelta(seconds=60), certificate_seen=timedelta(seconds=1), failures=3)


@pytest.fixture
async def delegated(state_dir, database, vault_mount, dns_server, dns_zone, dns_packages, pebble_package):
    async with Delegated.start(
        state_dir, database, vault_mount, dns_server, dns_zone.origin, no_sleep=True, authz_reuse=0
    ) as delegated:
        yield delegated


async def obtain(delegated: Delegated, **arguments):
    return await delegated.issuance.replica.obtain(zone=delegated.zone(), limits=PATIENT, **arguments)


async def test_a_wildcard_has_its_certificate_and_nothing_is_left_in_the_zone(delegated):
    domain = await delegated.domain("*.shop")
    assert isinstance(await obtain(delegated), Done)
    certificate = await delegated.issuance.assert_live(domain.id)
    assert certificate.names == (domain.hostname,)
    assert await delegated.published(domain) == set()
    assert await delegated.issuance.count("acme_txt") == 0


async def test_a_wildcard_and_its_base_name_share_one_cname(delegated):
    """One tenant's: both prove themselves at one name, and clear only what is theirs."""
    base = await delegated.domain("shop")
    wildcard = await delegated.domain("*.shop", delegate=False)
    pool = delegated.issuance.replica.pool
    await pool.execute("UPDATE custom_domains SET tenant_id = $2 WHERE id = $1", wildcard.id, base.tenant_id)
    assert (await delegated.load(wildcard.id)).acme_label == base.acme_label
    jobs = await delegated.issuance.replica.jobs.claim("obtain", 2)
    obtainer = delegated.issuance.replica.obtainer(zone=delegated.zone(), limits=PATIENT)
    for job in jobs:
        assert isinstance(await obtainer.obtain(job), Done)
        await delegated.issuance.replica.jobs.settle(job, Done())
    for domain in (base, wildcard):
        certificate = await delegated.issuance.assert_live(domain.id)
        assert certificate.names == (domain.hostname,)
    assert await delegated.published(base) == set()


async def test_a_delegated_name_has_its_certificate_before_its_traffic_moves(delegated):
    """Nobody answers on port 80 at the address that it has now."""
    domain = await delegated.domain("shop")
    delegated.issuance.dns.replace(domain.hostname, "A", "127.1.1.1")
    assert isinstance(await obtain(delegated), Done)
    await delegated.issuance.assert_live(domain.id)


class Killed(BaseException):
    """Nothing below catches it, as nothing catches SIGKILL."""


async def test_killed_after_every_single_step_in_turn_it_ends_with_one_order_and_an_empty_zone(delegated):
    domain = await delegated.domain("*.shop")

    def killing(victim):
        def on_step(step):
            if step == victim:
                raise Killed

        return on_step

    for step in STEPS:
        with pytest.raises(Killed):
            await obtain(delegated, on_step=killing(step))
        await delegated.issuance.time_passes()
    assert isinstance(await obtain(delegated), Done)
    await delegated.issuance.assert_live(domain.id)
    assert await delegated.issuance.count("acme_orders") == 1
    await delegated.issuance.replica.pool.execute("UPDATE acme_txt SET written_at = now() - interval '1 hour'")
    await delegated.zone().clear()
    assert await delegated.published(domain) == set()
    assert await delegated.issuance.count("acme_txt") == 0


async def test_a_primary_that_is_away_is_the_operators_and_counts_for_nothing(delegated, ports):
    domain = await delegated.domain("*.shop")
    (dead,) = ports(1)
    away = delegated.zone(server=f"127.0.0.1:{dead}")
    for _ in range(2):
        assert isinstance(await delegated.issuance.replica.obtain(zone=away, limits=PATIENT), Again)
        await delegated.issuance.time_passes()
    finding = await delegated.issuance.finding(domain.id)
    assert (finding["code"], finding["who"]) == ("dns_update_unreachable", "operator")
    told = "SELECT payload FROM outbox WHERE event = 'platform.trouble'"
    (alert,) = await delegated.issuance.replica.pool.fetch(told)
    assert json.loads(alert["payload"])["code"] == "dns_update_unreachable"
    assert (await delegated.issuance.row("custom_domains", domain.id))["failure_count"] == 0
    await delegated.issuance.time_passes()
    assert isinstance(await obtain(delegated), Done)
    await delegated.issuance.assert_live(domain.id)
    assert await delegated.issuance.count("acme_orders") == 1, "the order waited for it"


async def test_the_ca_sees_a_cname_that_leads_elsewhere(delegated):
    """Without a pre-flight: the CA finds no record, the tenant is told, and nothing is left once the order is over."""
    domain = await delegated.domain("*.shop", delegate=False)
    name = f"_acme-challenge.{domain.hostname.removeprefix('*.')}"
    delegated.issuance.dns.replace(name, "CNAME", "ffffffffffffffffffffffffffffffff.acme.platform.test.")
    assert isinstance(await delegated.issuance.replica.obtain(zone=delegated.zone(), limits=FAILING), Again)
    finding = await delegated.issuance.finding(domain.id)
    assert finding["who"] == "tenant", finding
    assert (await delegated.issuance.row("custom_domains", domain.id))["failure_count"] == 1
    await delegated.issuance.replica.pool.execute("UPDATE acme_txt SET written_at = now() - interval '1 hour'")
    await delegated.zone().clear()
    assert await delegated.published(domain) == set()
    delegated.delegate(domain)
    await delegated.issuance.time_passes()
    assert isinstance(await obtain(delegated), Done)
    await delegated.issuance.assert_live(domain.id)
