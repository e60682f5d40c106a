from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from core.certificate import Certificate, CertificateError, load_key

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Authority:
    """A CA in memory."""

    def __init__(self, name: str = "Test CA") -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), [], ca=True)

    def _sign(self, subject, public_key, names, *, ca=False, start=NOW - DAY, end=NOW + 30 * DAY):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *names: str, key=None, **dates) -> tuple[str, str]:
        """(chain, key) in PEM, leaf first."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(x509.Name([]), key.public_key(), names, **dates)
        return pem(leaf) + pem(self.certificate), key_pem(key)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def code(call) -> str:
    with pytest.raises(CertificateError) as refused:
        call()
    return refused.value.code


def test_a_good_pair_travels_through_vault_unchanged() -> None:
    chain, key = Authority().issue("shop.example", "www.shop.example")
    certificate = Certificate.parse(chain, key)
    assert Certificate.from_vault(certificate.to_vault()) == certificate
    assert certificate.names == ("shop.example", "www.shop.example")
    assert certificate.issuer == "Test CA"
    certificate.check("shop.example", NOW)


def test_a_certificate_of_a_version_that_there_is_not() -> None:
    chain, key = Authority().issue("shop.example")
    der = x509.load_pem_x509_certificates(chain.encode())[0].public_bytes(serialization.Encoding.DER)
    version = bytes.fromhex("a003020102")
    damaged = base64.encodebytes(der.replace(version, version[:-1] + b"\x07")).decode()
    text = f"-----BEGIN CERTIFICATE-----\n{damaged}-----END CERTIFICATE-----\n"
    assert code(lambda: Certificate.parse(text, key)) == "certificate_unreadable"


def test_the_key_is_not_in_the_repr() -> None:
    chain, key = Authority().issue("shop.example")
    assert key.splitlines()[1] not in repr(Certificate.parse(chain, key))


def test_another_key_is_refused() -> None:
    chain, _ = Authority().issue("shop.example")
    _, other = Authority().issue("shop.example")
    assert code(lambda: Certificate.parse(chain, other)) == "certificate_key_mismatch"


def test_a_reversed_chain_is_refused() -> None:
    authority = Authority()
    key = ec.generate_private_key(ec.SECP256R1())
    chain, _ = authority.issue("shop.example", key=key)
    blocks = chain.split("-----END CERTIFICATE-----\n")
    reverse = "".join(block + "-----END CERTIFICATE-----\n" for block in (blocks[1], blocks[0]))
    assert code(lambda: Certificate.parse(reverse, key_pem(authority.key))) == "certificate_chain_broken"


def test_a_chain_through_a_stranger_is_refused() -> None:
    chain, key = Authority().issue("shop.example")
    leaf = chain.split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    assert code(lambda: Certificate.parse(leaf + pem(Authority().certificate), key)) == "certificate_chain_broken"


@pytest.mark.parametrize("chain", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(chain: str) -> None:
    _, key = Authority().issue("shop.example")
    assert code(lambda: Certificate.parse(chain, key)) == "certificate_unreadable"


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
    ],
    ids=["Ed25519", "secp256k1", "RSA 1024"],
)
def test_a_key_of_a_kind_that_envoy_does_not_take_is_refused(key) -> None:
    chain, _ = Authority().issue("shop.example", key=key)
    assert code(lambda: Certificate.parse(chain, key_pem(key))) == "certificate_unreadable"


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(public_exponent=65537, key_size=2048)],
    ids=["P-384", "RSA 2048"],
)
def test_the_usual_kinds_of_key_are_taken(key) -> None:
    chain, _ = Authority().issue("shop.example", key=key)
    Certificate.parse(chain, key_pem(key)).check("shop.example", NOW)


def numbers_of(key: rsa.RSAPrivateKey) -> dict[str, int]:
    numbers = key.private_numbers()
    return {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}


def rsa_pem(public: rsa.RSAPublicNumbers, *, p: int, q: int, d: int, dmp1: int, dmq1: int, iqmp: int) -> str:
    """PKCS#1 (RFC 8017, A.1.2) of numbers that need not belong together; the library makes none of those."""
    content = b"".join(map(der_integer, (0, public.n, public.e, d, p, q, dmp1, dmq1, iqmp)))
    text = base64.encodebytes(der(0x30, content)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}-----END RSA PRIVATE KEY-----\n"


def der_integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (octets if length < 0x80 else bytes([0x80 | len(octets)]) + octets) + content


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_an_rsa_key_in_its_own_form_is_taken() -> None:
    chain, _ = Authority().issue("shop.example", key=RSA)
    Certificate.parse(chain, rsa_pem(RSA.public_key().public_numbers(), **numbers_of(RSA)))


@pytest.mark.parametrize("name", ["p", "q", "d", "dmp1", "dmq1", "iqmp"])
@pytest.mark.parametrize("change", ["another's", "off by two"])
def test_an_rsa_key_whose_numbers_do_not_belong_together_is_refused(name: str, change: str) -> None:
    """It has the leaf's public numbers, but could not sign for it."""
    chain, _ = Authority().issue("shop.example", key=RSA)
    numbers = numbers_of(RSA)
    wrong = numbers_of(OTHER_RSA)[name] if change == "another's" else numbers[name] + 2
    broken = rsa_pem(RSA.public_key().public_numbers(), **{**numbers, name: wrong})
    assert code(lambda: Certificate.parse(chain, broken)) == "certificate_unreadable"


def test_an_rsa_key_whose_factors_are_not_prime_is_refused() -> None:
    """All numbers belong together, as the congruences go, and yet it cannot sign."""
    e, three = 65537, 3
    p, q = numbers_of(RSA)["p"] * three, numbers_of(RSA)["q"]
    order = (p - 1) * (q - 1)
    try:
        d = pow(e, -1, order)
    except ValueError:
        p, order = p * three, (p * three - 1) * (q - 1)
        d = pow(e, -1, order)
    public = rsa.RSAPublicNumbers(e, p * q)
    broken = rsa_pem(public, p=p, q=q, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1), iqmp=pow(q, -1, p))
    with pytest.raises(ValueError, match="signs"):
        load_key(broken)
    chain, _ = Authority().issue("shop.example", key=RSA)
    assert code(lambda: Certificate.parse(chain, broken)) == "certificate_unreadable"


def test_an_rsa_key_of_another_leaf_is_refused() -> None:
    chain, _ = Authority().issue("shop.example", key=RSA)
    assert code(lambda: Certificate.parse(chain, key_pem(OTHER_RSA))) == "certificate_key_mismatch"


@pytest.mark.parametrize(
    ("names", "twice"),
    [(b"no DER", False), (bytes.fromhex("3002a300"), False), (bytes.fromhex("3000"), True)],
    ids=["malformed", "of an unknown kind", "twice"],
)
def test_a_leaf_whose_extensions_cannot_be_read_is_refused(names: bytes, twice: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    oid, other = x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, x509.ExtensionOID.ISSUER_ALTERNATIVE_NAME
    builder = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, NOW - DAY, NOW + DAY)
        .add_extension(x509.UnrecognizedExtension(oid, names), critical=False)
        .add_extension(x509.UnrecognizedExtension(other, names), critical=False)
    )
    leaf = pem(builder.sign(key, hashes.SHA256()))
    if twice:  # no library makes one
        octets = ssl.PEM_cert_to_DER_cert(leaf).replace(b"\x55\x1d\x12", b"\x55\x1d\x11")
        leaf = ssl.DER_cert_to_PEM_cert(octets)
    assert code(lambda: Certificate.parse(leaf, key_pem(key))) == "certificate_unreadable"


def test_a_record_without_a_key_is_refused() -> None:
    assert code(lambda: Certificate.from_vault({"chain": "x"})) == "certificate_unreadable"


@pytest.mark.parametrize(
    ("names", "hostname", "covered"),
    [
        (["a.example"], "a.example", True),
        (["a.example"], "b.example", False),
        (["*.example.com"], "a.example.com", True),
        (["*.example.com"], "a.b.example.com", False),
        (["*.example.com"], "example.com", False),
        (["A.Example"], "a.example", True),
    ],
)
def test_a_certificate_covers_what_a_client_would_accept(names: list[str], hostname: str, covered: bool) -> None:
    chain, key = Authority().issue(*names)
    assert Certificate.parse(chain, key).covers(hostname) is covered


def test_dates_and_name_are_checked() -> None:
    authority = Authority()
    old = Certificate.parse(*authority.issue("a.example", start=NOW - 9 * DAY, end=NOW - DAY))
    early = Certificate.parse(*authority.issue("a.example", start=NOW + DAY, end=NOW + 9 * DAY))
    assert code(lambda: old.check("a.example", NOW)) == "certificate_expired"
    assert code(lambda: early.check("a.example", NOW)) == "certificate_not_yet_valid"
    assert code(lambda: old.check("b.example", NOW)) == "certificate_wrong_name"
