"""What core.upload and core.trust take, Envoy takes: it refuses a whole configuration for one pair that it does not."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from scenes.hierarchy import DAY, NOW, Hierarchy, Issued, issue, named

from core.trust import TrustBundle
from core.upload import UploadError, read_upload
from embedded.envoy import Envoy
from embedded.process import ServerFailed

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
CA = Hierarchy.of("shop.example")
FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in allowed for name in USAGES})


def rsa_key(exponent: int) -> rsa.RSAPrivateKey:
    """2048 bits, with an exponent that the library would not choose."""
    while True:
        numbers = rsa.generate_private_key(65537, 2048).private_numbers()
        p, q = numbers.p, numbers.q
        if math.gcd(exponent, math.lcm(p - 1, q - 1)) == 1:
            d = pow(exponent, -1, math.lcm(p - 1, q - 1))
            public = rsa.RSAPublicNumbers(exponent, p * q)
            made = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), numbers.iqmp, public)
            return made.private_key(unsafe_skip_rsa_key_validation=True)


def ed25519_root() -> Issued:
    key = ed25519.Ed25519PrivateKey.generate()
    builder = (
        x509.CertificateBuilder(named("Ed"), named("Ed"), key.public_key(), 7, NOW - DAY, NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    return Issued(builder, key)


def for_pss_alone() -> tuple[str, str]:
    """Self-signed, with a key that says of itself that it is for RSASSA-PSS (RFC 4055); the library makes none such."""
    with tempfile.TemporaryDirectory() as folder:
        key, made = Path(folder) / "key.pem", Path(folder) / "leaf.pem"
        bits = ("-pkeyopt", "rsa_keygen_bits:2048")
        openssl("genpkey", "-algorithm", "RSA-PSS", *bits, "-out", str(key))
        names = ("-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example")
        openssl("req", "-x509", "-new", "-key", str(key), *names, "-days", "9", "-out", str(made))
        return made.read_text(), key.read_text()


def openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True)


def without_common_name() -> tuple[str, str]:
    """It is there, and empty."""
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.warns(UserWarning, match="length"):
        nobody = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "", _validate=False)])
    builder = (
        x509.CertificateBuilder(nobody, nobody, key.public_key(), 7, NOW - DAY, NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Issued(builder, key)
    return made.pem, made.key_pem


def leaf(by: Issued = CA.lower, **how: Any) -> tuple[str, str]:
    made = issue("leaf", by, names=("shop.example",), **how)
    return made.pem + by.pem, made.key_pem


def taken() -> Iterator[tuple[str, tuple[str, str]]]:
    yield "shuffled", (CA.upper.pem + CA.root.pem + CA.leaf.pem + CA.lower.pem, CA.leaf.key_pem)
    yield "P-384", leaf(key=ec.generate_private_key(ec.SECP384R1()))
    for bits in (2048, 2049, 3072, 4096):
        yield f"RSA {bits}", leaf(key=rsa.generate_private_key(65537, bits))
    for exponent in (3, 2**33 - 9):
        yield f"RSA with e = {exponent}", leaf(key=rsa_key(exponent))
    yield "for ever", leaf(end=FAR)
    yield "a CA's own", leaf(ca=True)
    yield "without constraints", leaf(ca=None)
    yield "signing only", leaf(extensions=(usage("digital_signature"),))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    yield "an unknown extension", leaf(extensions=(unknown,))
    alone = issue("shop.example", names=("shop.example",), ca=True)
    yield "self-signed", (alone.pem, alone.key_pem)
    yield "below RSA 1024", leaf(issue("Old", CA.root, ca=True, key=rsa.generate_private_key(65537, 1024)))
    yield "below P-521", leaf(issue("Big", CA.root, ca=True, key=ec.generate_private_key(ec.SECP521R1())))


def refused() -> Iterator[tuple[str, tuple[str, str]]]:
    """By Envoy, and so by us."""
    yield "key_unsupported", leaf(key=ec.generate_private_key(ec.SECP256K1()))
    yield "key_unsupported", leaf(key=rsa_key(2**34 + 3))
    yield "certificate_wrong_usage", leaf(extensions=(usage("key_agreement"),))
    yield "certificate_must_staple", leaf(extensions=(x509.TLSFeature([x509.TLSFeatureType.status_request]),))
    yield "key_unsupported", for_pss_alone()
    yield "chain_unreadable", without_common_name()
    damaged = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), b"\x03\x01")
    yield "chain_unreadable", leaf(extensions=(damaged,))


def bundles() -> Iterator[str]:
    yield CA.root.pem * 3 + CA.upper.pem
    yield CA.root.pem + issue("Root", ca=True).pem  # one name, two keys
    yield ed25519_root().pem
    yield issue("Small", ca=True, key=rsa.generate_private_key(65537, 1024)).pem
    yield issue("Big", ca=True, key=ec.generate_private_key(ec.SECP521R1()), end=FAR).pem
    yield issue("Gone", ca=True, end=NOW - DAY / 2).pem + CA.root.pem


def configuration(pairs: list[tuple[str, str]], trusted: list[str]) -> str:
    """A listener with a filter chain for each pair, and one for each bundle that clients are held against."""

    def chain(number: int, pair: tuple[str, str], ca: str | None) -> dict[str, Any]:
        inline = [{"inline_string": text} for text in pair]
        common: dict[str, Any] = {"tls_certificates": [{"certificate_chain": inline[0], "private_key": inline[1]}]}
        if ca is not None:
            common["validation_context"] = {"trusted_ca": {"inline_string": ca}}
        return {
            "filter_chain_match": {"server_names": [f"n{number}.example"]},
            "transport_socket": {"name": "tls", "typed_config": {"@type": TLS, "common_tls_context": common}},
            "filters": [{"name": "tcp", "typed_config": {"@type": PROXY, "stat_prefix": "tcp", "cluster": "none"}}],
        }

    own = (CA.chain, CA.leaf.key_pem)
    every = [(pair, None) for pair in pairs] + [(own, ca) for ca in trusted]
    listener = {
        "name": "tls",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "listener_filters": [
            {
                "name": "tls_inspector",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
                },
            }
        ],
        "filter_chains": [chain(number, *one) for number, one in enumerate(every)],
    }
    clusters = [{"name": "none", "connect_timeout": "1s"}]
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}})


@pytest.fixture
def folder() -> Iterator[Path]:
    """Away from the session's files, which hold no key: here the configurations do."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


async def test_envoy_takes_what_is_taken_here(folder: Path) -> None:
    read = [read_upload(*pair, NOW) for _, pair in taken()]
    trusted = [TrustBundle.parse(pem, NOW).pem for pem in bundles()]
    assert len(read) >= 15
    async with Envoy.start(folder, configuration([(one.chain_pem, one.key_pem) for one in read], trusted)) as envoy:
        assert envoy.pid


@pytest.mark.filterwarnings("ignore:Attribute's length")
async def test_what_envoy_refuses_is_refused_here(folder: Path) -> None:
    for number, (code, pair) in enumerate(refused()):
        with pytest.raises(UploadError) as error:
            read_upload(*pair, datetime.now(UTC))  # one of them was made just now
        assert error.value.code == code
        with pytest.raises(ServerFailed):
            async with Envoy.start(folder, configuration([pair], []), name=f"envoy{number}"):
                pass
