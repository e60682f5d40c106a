"""An issuance from each certificate authority with the `acme` library, ECDSA P-256 throughout.

OpenBao's validator connects to port 80 always, so its HTTP-01 is tried where this user can bind that port; DNS-01
is tried everywhere. Pebble is left with its refused nonces and random waits.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import josepy
import pytest
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from embedded.ports import LOOPBACK, can_bind

OPENBAO_CHALLENGES = ["dns-01", "http-01"] if can_bind(80) else ["dns-01"]


def persistent(call, *arguments):
    """The library retries a refused nonce once; Pebble may refuse that one too."""
    for _ in range(10):
        try:
            return call(*arguments)
        except messages.Error as error:
            if error.code != "badNonce":
                raise
    return call(*arguments)


class Issuance:
    """An account and one order, driven step by step in a thread, because the library blocks."""

    def __init__(self, directory_url: str, trust: str | bool = True) -> None:
        self.key = josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        network = client.ClientNetwork(self.key, alg=josepy.ES256, verify_ssl=trust, timeout=20)
        directory = client.ClientV2.get_directory(directory_url, network)
        self.network = network
        self.acme = client.ClientV2(directory, net=network)
        terms = messages.NewRegistration.from_data(email="ops@example.com", terms_of_service_agreed=True)
        persistent(self.acme.new_account, terms)

    def order(self, name: str, kind: str) -> None:
        certificate_key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        csr = builder.sign(certificate_key, hashes.SHA256())
        self.public_key = certificate_key.public_key()
        self.pending = persistent(self.acme.new_order, csr.public_bytes(Encoding.PEM))
        (authorization,) = self.pending.authorizations
        (self.challenge,) = [offer for offer in authorization.body.challenges if offer.chall.typ == kind]
        self.response, self.validation = self.challenge.response_and_validation(self.key)

    def finish(self) -> list[x509.Certificate]:
        persistent(self.acme.answer_challenge, self.challenge, self.response)
        deadline = datetime.now() + timedelta(seconds=30)
        try:
            done = persistent(self.acme.poll_and_finalize, self.pending, deadline)
        finally:
            self.network.session.close()
        return x509.load_pem_x509_certificates(done.fullchain_pem.encode())


@asynccontextmanager
async def answering(issuance: Issuance, port: int):
    """The HTTP-01 side: answers the one token on `port`."""
    chall = issuance.challenge.chall
    assert isinstance(chall, challenges.HTTP01)

    async def serve(reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        body = issuance.validation if request == chall.path else "no such token"
        writer.write(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, port):
        yield


def check(chain: list[x509.Certificate], name: str, public_key: ec.EllipticCurvePublicKey) -> None:
    leaf, issuer = chain[:2]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name]
    assert leaf.public_key() == public_key
    leaf.verify_directly_issued_by(issuer)


@pytest.mark.parametrize("kind", OPENBAO_CHALLENGES)
async def test_openbao_issues_a_p256_certificate(pki, dns_zone, kind):
    name = dns_zone.full("shop")
    dns_zone.add("shop", "A", LOOPBACK)
    issuance = await asyncio.to_thread(Issuance, pki.directory_url)
    await asyncio.to_thread(issuance.order, name, kind)
    if kind == "dns-01":
        dns_zone.add("_acme-challenge.shop", "TXT", issuance.validation)
        chain = await asyncio.to_thread(issuance.finish)
    else:
        async with answering(issuance, 80):
            chain = await asyncio.to_thread(issuance.finish)
    check(chain, name, issuance.public_key)
    root = x509.load_pem_x509_certificate(pki.root_pem.encode())
    chain[1].verify_directly_issued_by(root)


async def test_pebble_issues_in_spite_of_refused_nonces(pebble, dns_zone):
    name = dns_zone.full("shop")
    dns_zone.add("shop", "A", LOOPBACK)
    issuance = await asyncio.to_thread(Issuance, pebble.directory_url, str(pebble.ca_bundle))
    await asyncio.to_thread(issuance.order, name, "http-01")
    async with answering(issuance, pebble.http_port):
        chain = await asyncio.to_thread(issuance.finish)
    check(chain, name, issuance.public_key)
    chain[1].verify_directly_issued_by(x509.load_pem_x509_certificate(pebble.root_pem.encode()))


async def test_pebble_refuses_a_name_where_nobody_answers(pebble, dns_zone):
    dns_zone.add("shop", "A", LOOPBACK)
    issuance = await asyncio.to_thread(Issuance, pebble.directory_url, str(pebble.ca_bundle))
    await asyncio.to_thread(issuance.order, dns_zone.full("shop"), "http-01")
    with pytest.raises(errors.ValidationError):
        await asyncio.to_thread(issuance.finish)
