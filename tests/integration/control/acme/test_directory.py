"""A directory is read again as the days pass, and an old one serves while the CA is away."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from control.acme.network import DIRECTORY_LIFETIME, DIRECTORY_RETRY, Network
from control.acme.problems import AcmeUnavailable
from embedded.ari import AriFront


@pytest.fixture
def key() -> JWKEC:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


async def test_what_a_ca_offers_is_read_once_a_day(front, key):
    now = 0.0
    network = Network(front.directory_url, key, str(front.ca_bundle), clock=lambda: now)

    async def profiles() -> list[str]:
        return sorted((await asyncio.to_thread(network.directory)).meta.profiles)

    assert network.known is None
    assert await profiles() == ["classic", "short"]
    front.profiles = {"new": ""}
    now = DIRECTORY_LIFETIME - 1
    assert await profiles() == ["classic", "short"]
    now = DIRECTORY_LIFETIME
    assert await profiles() == ["new"]
    network.close()


async def test_an_old_directory_serves_while_the_ca_is_away(state_dir, trusting, key):
    now = 0.0
    async with AriFront.start(state_dir, trusting, profiles={"old": ""}) as front:
        network = Network(front.directory_url, key, str(front.ca_bundle), clock=lambda: now)
        known = await asyncio.to_thread(network.directory)
    now = DIRECTORY_LIFETIME
    assert await asyncio.to_thread(network.directory) is known
    now += DIRECTORY_RETRY
    assert await asyncio.to_thread(network.directory) is known
    network.close()


async def test_a_directory_that_was_never_read_is_missed(state_dir, trusting, key):
    async with AriFront.start(state_dir, trusting) as front:
        network = Network(front.directory_url, key, str(front.ca_bundle))
    with pytest.raises(AcmeUnavailable):
        await asyncio.to_thread(network.directory)
    network.close()
