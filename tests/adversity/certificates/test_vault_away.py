"""Vault is sealed before an order, and in the moment of the write."""

from __future__ import annotations

import httpx
import pytest
from scenes.issuance import Scene

from control.jobs import Again, Done
from core.vault import certificate_path
from embedded.openbao import OpenBao
from embedded.vault_mount import VaultMount


@pytest.fixture
async def own_openbao(state_dir):
    async with OpenBao.start(state_dir) as openbao:
        yield openbao


@pytest.fixture
async def scene(own_openbao, database, pebble, dns_server, dns_zone):
    mount = await VaultMount.create(own_openbao, "secret")
    async with Scene.start(database, mount, pebble, dns_server, dns_zone.origin) as scene:
        yield scene


async def test_sealed_no_order_is_spent_and_unsealed_it_goes_on(scene, own_openbao):
    domain_id = await scene.domain()
    await scene.replica.account.client()  # in memory: the account's key needs no Vault any more
    await own_openbao.seal()
    assert isinstance(await scene.replica.obtain(), Again)
    assert await scene.count("acme_orders") == 0
    found = await scene.finding(domain_id)
    assert (found["code"], found["who"]) == ("vault_unavailable", "operator")
    assert (await scene.row("custom_domains", domain_id))["failure_count"] == 0

    await own_openbao.unseal()
    await scene.time_passes()
    assert await scene.orders_at_ca() == []
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)


async def test_sealed_when_the_certificate_is_to_be_written_the_same_one_is_written_later(scene, own_openbao):
    domain_id = await scene.domain()

    def seal(step):
        if step == "checked":
            headers = {"X-Vault-Token": own_openbao.root_token}
            assert httpx.put(f"{own_openbao.url}/v1/sys/seal", headers=headers, trust_env=False).is_success

    assert isinstance(await scene.replica.obtain(seal), Again)
    await scene.time_passes()
    assert isinstance(await scene.replica.obtain(), Again)  # still sealed
    assert await scene.count("certificates") == 0

    await own_openbao.unseal()
    assert await scene.replica.vault.read(certificate_path(domain_id)) is None
    (order,) = await scene.orders_at_ca()
    client = await scene.replica.account.client()
    assert (await client.order(order)).status == "valid"
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    assert await scene.orders_at_ca() == [order]
    assert (await scene.stored(domain_id))[1] == 1


async def test_stopped_and_started_again_the_account_is_the_same(scene, own_openbao):
    before = await scene.replica.account.client()
    scene.replica.account.forget(before)
    await own_openbao.stop()
    await scene.domain()
    assert isinstance(await scene.replica.obtain(), Again)
    await own_openbao.start_again()
    after = await scene.replica.account.client()
    assert after is not before
    assert after.account_url == before.account_url
