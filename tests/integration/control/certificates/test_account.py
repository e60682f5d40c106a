"""The account at Pebble, its key in OpenBao, and the signed requests made with it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from scenes.issuance import Replica

from control.acme.account import Account
from control.acme.client import Client
from control.acme.problems import AcmeRefused, AcmeUnavailable
from control.certificates.key import PendingKey
from control.vault import VaultError
from core.vault import acme_account_path, pending_key_path
from embedded.ports import free_port


async def test_replicas_that_start_together_agree_on_one_account(scene):
    async def client(replica):
        try:
            return await replica.account.client()
        except AcmeRefused as refused:  # Pebble answers so to one of two that register a key in the same moment
            assert refused.problem.name == "serverInternal"
            return await replica.account.client()

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(Replica.start(scene.wiring)) for _ in range(5)]
        clients = await asyncio.gather(*map(client, replicas))
    assert len({client.account_url for client in clients}) == 1
    path = acme_account_path(scene.pebble.directory_url)
    assert await scene.replica.vault.versions(path) == (1,)
    (row,) = await scene.replica.pool.fetch("SELECT directory_url, account_url FROM acme_accounts")
    assert tuple(row) == (scene.pebble.directory_url, clients[0].account_url)


async def test_one_process_registers_once_however_many_ask(scene):
    clients = await asyncio.gather(*(scene.replica.account.client() for _ in range(10)))
    assert len(set(map(id, clients))) == 1


async def test_a_process_that_starts_again_has_the_same_account(scene):
    first = await scene.replica.account.client()
    async with Replica.start(scene.wiring) as restarted:
        assert (await restarted.account.client()).account_url == first.account_url


async def test_an_account_that_was_registered_anew_is_written_down(scene):
    await scene.replica.account.client()
    await scene.replica.pool.execute("UPDATE acme_accounts SET account_url = 'https://ca.example/gone'")
    async with Replica.start(scene.wiring) as restarted:
        client = await restarted.account.client()
    assert await scene.replica.pool.fetchval("SELECT account_url FROM acme_accounts") == client.account_url


async def test_a_key_that_is_none_is_an_error_and_not_shown(scene):
    path = acme_account_path(scene.pebble.directory_url)
    await scene.replica.vault.write(path, {"key": "no-key-at-all"}, cas=0)
    with pytest.raises(VaultError) as refused:
        await scene.replica.account.client()
    assert refused.value.code == "account_key_unreadable"
    assert "no-key-at-all" not in str(refused.value)


@pytest.mark.parametrize("contact", ["ops@platform.test", "mailto:ops@platform.test", ""])
async def test_the_contact_is_a_mail_address_a_url_or_none(scene, contact):
    replica = scene.replica
    ca_file = str(scene.pebble.ca_bundle)
    account = Account(replica.vault, replica.pool, scene.pebble.directory_url, contact, ca_file)
    assert (await account.client()).account_url.startswith("https://")
    account.close()


async def test_a_contact_that_the_ca_does_not_take_is_the_operators_to_mend(scene):
    replica = scene.replica
    ca_file = str(scene.pebble.ca_bundle)
    account = Account(replica.vault, replica.pool, scene.pebble.directory_url, "tel:+1-201-555-0123", ca_file)
    with pytest.raises(AcmeRefused) as refused:
        await account.client()
    assert refused.value.code == "ca_account_refused"
    account.close()


async def test_its_orders_are_listed_over_all_pages(scene):
    client = await scene.replica.account.client()
    sent = [(await client.new_order(f"{number}.{scene.zone}")).url for number in range(7)]
    pages = [page async for page in client.order_urls()]
    assert len(pages) > 1
    assert sorted(url for page in pages for url in page) == sorted(sent)


async def test_an_order_that_the_ca_does_not_know_is_refused_as_data(scene):
    client = await scene.replica.account.client()
    order = await client.new_order(f"shop.{scene.zone}")
    with pytest.raises(AcmeRefused) as refused:
        await client.order(order.url + "x")
    assert refused.value.problem.status == 404


async def test_a_problem_document_is_kept_as_data(scene):
    client = await scene.replica.account.client()
    with pytest.raises(AcmeRefused) as refused:
        await client.new_order(f"under_score.{scene.zone}")
    assert refused.value.problem.name == "malformed"
    assert "illegal character" in refused.value.problem.detail
    assert (refused.value.problem.status, refused.value.code) == (400, "ca_request_refused")


async def test_a_ca_whose_certificate_is_not_trusted_is_not_spoken_to(scene):
    replica = scene.replica
    account = Account(replica.vault, replica.pool, scene.pebble.directory_url, "", None)
    with pytest.raises(AcmeUnavailable):
        await account.client()
    account.close()


async def test_a_ca_that_is_not_there_is_unavailable(scene):
    replica = scene.replica
    account = Account(replica.vault, replica.pool, f"https://127.0.0.1:{free_port()}/dir")
    with pytest.raises(AcmeUnavailable):
        await account.client()
    account.close()


async def test_a_server_that_is_no_ca_is_unavailable(scene, openbao):
    replica = scene.replica
    account = Account(replica.vault, replica.pool, f"{openbao.url}/v1/sys/health")
    with pytest.raises(AcmeUnavailable):
        await account.client()
    account.close()


async def test_two_tokens_have_two_key_authorizations_of_one_account(scene):
    client: Client = await scene.replica.account.client()
    one, other = client.key_authorization("one"), client.key_authorization("other")
    assert (one.partition(".")[0], other.partition(".")[0]) == ("one", "other")
    assert one.partition(".")[2] == other.partition(".")[2]


async def test_two_workers_at_once_use_one_pending_key(scene):
    domain_id = uuid4()
    async with Replica.start(scene.wiring) as other:
        vaults = [scene.replica.vault, other.vault] * 4
        keys = await asyncio.gather(*(PendingKey.of_domain(vault, domain_id) for vault in vaults))
    assert len({key.pem for key in keys}) == 1


async def test_a_pending_key_that_is_none_is_cleared_away_and_the_next_attempt_makes_one(scene):
    vault, domain_id = scene.replica.vault, uuid4()
    await vault.write(pending_key_path(domain_id), {"key": "no-key-at-all"}, cas=0)
    with pytest.raises(VaultError) as refused:
        await PendingKey.of_domain(vault, domain_id)
    assert "no-key-at-all" not in str(refused.value)
    assert (await PendingKey.of_domain(vault, domain_id)).private_key().curve.name == "secp256r1"
