"""What is known of the CAs, on PostgreSQL, OpenBao and Pebble."""

from __future__ import annotations

import asyncio

import pytest
from scenes.issuance import Replica, wire

from control.acme.ca import Ca
from control.preflight.facts import KnownFacts
from embedded.ports import LOOPBACK


@pytest.fixture
async def replica(database, vault_mount, pebble, ports):
    """With Pebble and a CA where nobody listens."""
    (port,) = ports(1)
    cas = [
        Ca(
            name="away",
            directory_url=f"https://{LOOPBACK}:{port}/dir",
            caa_identities=("away.test",),
            ca_file=pebble.ca_bundle,
        ),
        Ca(name="pebble", directory_url=pebble.directory_url, ca_file=pebble.ca_bundle),
    ]
    async with Replica.start(wire(database, vault_mount, pebble), cas=cas) as running:
        yield running


async def test_a_ca_that_answers_says_who_it_is_and_one_that_is_away_is_as_it_was(replica):
    away, pebble = replica.authorities
    account_url = (await pebble.client()).account_url
    facts = await KnownFacts(replica.pool, replica.authorities, within=30.0)()
    assert [(one.directory_url, tuple(one.identities), one.account_url) for one in facts] == [
        (away.directory_url, ("away.test",), None),
        (pebble.directory_url, tuple(pebble.caa_identities), account_url),
    ]
    await replica.pool.execute(
        "INSERT INTO acme_accounts (directory_url, account_url) VALUES ($1, 'https://away.test/acct/1')",
        away.directory_url,
    )
    assert (await KnownFacts(replica.pool, replica.authorities)())[0].account_url == "https://away.test/acct/1"


async def test_a_ca_that_is_silent_is_not_waited_for(database, vault_mount, pebble):
    silent = asyncio.Event()

    async def serve(reader, writer):
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
        url = f"https://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/dir"
        cas = [Ca(name="silent", directory_url=url, ca_file=pebble.ca_bundle)]
        async with Replica.start(wire(database, vault_mount, pebble), cas=cas) as replica, asyncio.timeout(60):
            (facts,) = await KnownFacts(replica.pool, replica.authorities, within=0.2)()
            assert (facts.directory_url, tuple(facts.identities), facts.account_url) == (url, (), None)
        silent.set()
