"""Pebble and pebble-challtestsrv from Debian's package."""

import asyncio
import ssl

import httpx
import josepy
import pytest
from acme import client, messages
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from embedded.challtestsrv import ChallTestSrv
from embedded.pebble import Pebble


async def test_its_directory_answers_over_tls_that_its_bundle_vouches_for(pebble):
    trust = ssl.create_default_context(cafile=str(pebble.ca_bundle))
    async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
        directory = (await client.get(pebble.directory_url)).json()
        assert (await client.head(directory["newNonce"])).headers["replay-nonce"]


def test_its_roots_are_known_and_no_key_of_its_own_stays_on_disk(pebble):
    root = x509.load_pem_x509_certificate(pebble.root_pem.encode())
    intermediate = x509.load_pem_x509_certificate(pebble.intermediate_pem.encode())
    intermediate.verify_directly_issued_by(root)
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in pebble.home.iterdir())


async def test_challtestsrv_answers_a_challenge_that_it_was_given(state_dir, pebble_package):
    async with ChallTestSrv.start(state_dir) as server:
        await server.manage("add-http01", {"token": "abc", "content": "abc.xyz"})
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{server.http_port}/.well-known/acme-challenge/abc"
            assert (await client.get(url)).text == "abc.xyz"


async def test_it_refuses_as_many_nonces_as_it_is_told(state_dir, dns_server, pebble_package, ports):
    async with Pebble.start(
        state_dir, dns_server=dns_server.address, http_port=ports(1)[0], nonce_reject=100
    ) as pebble:

        def register() -> None:
            key = josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
            network = client.ClientNetwork(key, alg=josepy.ES256, verify_ssl=str(pebble.ca_bundle))
            try:
                acme = client.ClientV2(client.ClientV2.get_directory(pebble.directory_url, network), net=network)
                acme.new_account(messages.NewRegistration.from_data(terms_of_service_agreed=True))
            finally:
                network.session.close()

        with pytest.raises(messages.Error, match="badNonce"):
            await asyncio.to_thread(register)
