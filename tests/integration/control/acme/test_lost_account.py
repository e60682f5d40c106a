"""An account that the CA does not have any more, or will not have."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from control.acme.ca import Ca
from control.acme.problems import AcmeError, AcmeRefused
from control.certificates.authorities import Authority
from core.vault import acme_account_path
from embedded.pebble import Pebble
from embedded.ports import free_port


async def test_an_account_that_the_ca_has_lost_is_registered_anew(
    state_dir, dns_server, pebble_package, ports, authority, pool
):
    port, http_port = ports(2)

    def ca(name: str):
        return Pebble.start(state_dir, dns_server=dns_server.address, http_port=http_port, port=port, name=name)

    async with ca("first") as pebble:
        known = authority(pebble)
        before = await known.client()
        await before.new_order("shop.example.com")
    async with ca("second") as forgetful:
        shutil.copy(forgetful.ca_bundle, pebble.ca_bundle)
        with pytest.raises(AcmeRefused) as refused:
            await before.new_order("shop.example.com")
        assert (refused.value.code, refused.value.meaning.counts) == ("ca_account_unknown", False)
        after = await known.client()
        assert after is not before
        assert (await after.new_order("shop.example.com")).status == "pending"
        assert await pool.fetchval("SELECT account_url FROM acme_accounts") == after.account_url


async def test_one_that_was_deactivated_is_the_operators_to_mend_and_a_new_key_begins_anew(pebble, authority, vault):
    deactivated = authority(pebble)
    client = await deactivated.client()
    await asyncio.to_thread(client._post, client.account_url, {"status": "deactivated"})
    with pytest.raises(AcmeRefused) as refused:
        await client.new_order("shop.example.com")
    assert refused.value.code == "ca_account_refused"
    with pytest.raises(AcmeRefused) as refused:
        await deactivated.client()
    assert refused.value.code == "ca_account_deactivated"
    assert (refused.value.meaning.who, refused.value.meaning.counts) == ("operator", False)
    assert refused.value.meaning.outage
    await vault.destroy(acme_account_path(pebble.directory_url))
    assert (await deactivated.client()).account_url != client.account_url


async def test_all_who_wait_for_a_ca_that_is_away_learn_of_it_at_once(vault, pool):
    away = Authority(Ca(name="away", directory_url=f"https://127.0.0.1:{free_port()}/dir"), vault, pool)
    errors = await asyncio.gather(*(away.client() for _ in range(8)), return_exceptions=True)
    assert all(isinstance(error, AcmeError) and error.code == "ca_unavailable" for error in errors)
    assert len(set(map(id, errors))) == 1
    assert away.meta is None
    assert away.caa_identities == ()
    away.close()


async def test_the_one_who_waits_may_be_cancelled_without_harm_to_the_others(pebble, authority):
    shared = authority(pebble)
    waiting = [asyncio.create_task(shared.client()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    _, one, other = await asyncio.gather(*waiting, return_exceptions=True)
    assert one is other
    assert waiting[0].cancelled()
