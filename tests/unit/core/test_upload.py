from __future__ import annotations

import base64
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from scenes import tls_pair
from scenes.hierarchy import DAY, NOW, Hierarchy, encoded, issue

from core.pem import blocks
from core.upload import MAX_CERTIFICATES, MAX_CHAIN, UploadError, read_upload

CA = Hierarchy.of("shop.example")
RSA = {bits: rsa.generate_private_key(65537, bits) for bits in (1024, 2048)}
SHA256_WITH_RSA, SHA1_WITH_RSA = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))


def refusal(chain: str, key: str, **how) -> tuple[str, str]:
    with pytest.raises(UploadError) as refused:
        read_upload(chain, key, how.pop("now", NOW), **how)
    return refused.value.code, refused.value.pointer


def leaf_with(**how) -> tuple[str, str]:
    leaf = issue("leaf", CA.lower, names=("shop.example",), **how)
    return leaf.pem + CA.lower.pem, leaf.key_pem


def test_a_pair_is_read_and_can_be_served() -> None:
    made = read_upload(CA.chain, CA.leaf.key_pem, NOW)
    assert (made.chain_pem, made.names) == (CA.chain, ("shop.example",))
    assert CA.leaf.key_pem.splitlines()[1] not in repr(made)
    made.check("shop.example", NOW)


def test_a_reversed_chain_with_its_root_is_put_in_order() -> None:
    reversed_ = CA.root.pem + CA.upper.pem + CA.lower.pem + CA.leaf.pem
    assert read_upload(reversed_, CA.leaf.key_pem, NOW).chain_pem == CA.chain


def test_the_way_up_over_a_cross_signature_is_taken_before_a_root() -> None:
    cross = issue("Root", issue("Older", ca=True), key=CA.root.key, ca=True)
    made = read_upload(CA.chain + CA.root.pem + cross.pem, CA.leaf.key_pem, NOW)
    assert made.chain_pem == CA.chain + cross.pem


def test_an_expired_cross_signature_is_left_out() -> None:
    cross = issue("Root", issue("Older", ca=True), key=CA.root.key, ca=True, end=NOW - DAY / 2)
    assert read_upload(CA.chain + cross.pem, CA.leaf.key_pem, NOW).chain_pem == CA.chain


def test_of_two_leaves_with_one_key_the_valid_one_is_taken() -> None:
    old = issue("leaf", CA.lower, names=("shop.example",), key=CA.leaf.key, end=NOW - DAY / 2)
    assert read_upload(old.pem + CA.chain, CA.leaf.key_pem, NOW).chain_pem == CA.chain


def test_a_self_signed_certificate_is_its_own_chain() -> None:
    alone = issue("shop.example", names=("shop.example",), ca=True)
    assert read_upload(alone.pem, alone.key_pem, NOW).chain_pem == alone.pem


@pytest.mark.parametrize("ca", [True, None])
def test_a_leaf_directly_below_a_root_needs_the_root_in_the_upload(ca: bool | None) -> None:
    root = issue("Private root", ca=ca)
    leaf = issue("leaf", root, names=("shop.example",))
    if ca:
        assert read_upload(root.pem + leaf.pem, leaf.key_pem, NOW).chain_pem == leaf.pem
    else:
        assert refusal(root.pem + leaf.pem, leaf.key_pem) == ("chain_incomplete", "/certificate")


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
@pytest.mark.parametrize("key", [CA.leaf.key, RSA[2048]], ids=["ec", "rsa"])
def test_a_key_is_read_in_its_usual_encodings(key, form: str) -> None:
    chain, _ = leaf_with(key=key)
    text = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + encoded(key, form)
    assert read_upload(chain, text.replace("\n", "\r\n"), NOW).key_pem == encoded(key)


def test_everything_in_one_text_is_sorted_out() -> None:
    text = CA.leaf.key_pem + CA.chain
    made = read_upload(text, text, NOW)
    assert (made.chain_pem, made.key_pem) == (CA.chain, CA.leaf.key_pem)


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_behind_a_passphrase(form: str) -> None:
    assert refusal(CA.chain, encoded(CA.leaf.key, form, b"secret")) == ("key_encrypted", "/privateKey")


@pytest.mark.parametrize("key", ["", "x", "-----BEGIN PRIVATE KEY-----\n", CA.chain, CA.leaf.key_pem * 2])
def test_what_is_no_private_key(key: str) -> None:
    assert refusal(CA.chain, key) == ("key_not_readable", "/privateKey")


def test_an_rsa_key_whose_numbers_do_not_belong_together() -> None:
    numbers = RSA[2048].private_numbers()
    other = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 + 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    chain, _ = leaf_with(key=RSA[2048])
    assert refusal(chain, encoded(other)) == ("key_not_readable", "/privateKey")


def test_weak_keys() -> None:
    assert refusal(CA.chain, encoded(RSA[1024])) == ("key_weak", "/privateKey")
    assert refusal(CA.chain, encoded(ec.generate_private_key(ec.SECP192R1()))) == ("key_weak", "/privateKey")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(1024),
    ],
    ids=lambda key: type(key).__name__,
)
def test_keys_that_envoy_does_not_serve(key) -> None:
    assert refusal(CA.chain, encoded(key)) == ("key_unsupported", "/privateKey")


def test_a_key_above_the_leaf_that_takes_long_to_verify_with() -> None:
    """RSA with a public exponent as long as the private one: each signature takes a hundred times as long."""
    numbers = RSA[2048].private_numbers()
    odd = rsa.RSAPrivateNumbers(
        numbers.p,
        numbers.q,
        numbers.public_numbers.e,
        numbers.dmp1,
        numbers.dmq1,
        numbers.iqmp,
        rsa.RSAPublicNumbers(numbers.d, numbers.public_numbers.n),
    ).private_key(unsafe_skip_rsa_key_validation=True)
    authority = issue("CA", ca=True, key=odd)
    leaf = issue("leaf", authority, names=("shop.example",))
    assert refusal(leaf.pem + authority.pem, leaf.key_pem) == ("key_unsupported", "/certificate")


@pytest.mark.parametrize(("issuer", "name"), [("A\0B", "shop.example"), ("A\x1b", "shop.example"), ("A", "a\0b")])
def test_names_with_control_characters(issuer: str, name: str) -> None:
    """PostgreSQL keeps no NUL, and people's terminals obey the others."""
    authority = issue(issuer, ca=True)
    leaf = issue("leaf", authority, names=("shop.example", name))
    assert refusal(leaf.pem + authority.pem, leaf.key_pem) == ("chain_unreadable", "/certificate")


def test_another_certificates_key() -> None:
    assert refusal(CA.chain, Hierarchy.of("shop.example").leaf.key_pem) == ("key_mismatch", "/privateKey")


@pytest.mark.parametrize("chain", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_chain(chain: str) -> None:
    assert refusal(chain, CA.leaf.key_pem) == ("chain_unreadable", "/certificate")


def test_dates() -> None:
    assert refusal(CA.chain, CA.leaf.key_pem, now=NOW + 40 * DAY) == ("certificate_expired", "/certificate")
    assert refusal(CA.chain, CA.leaf.key_pem, now=NOW - 2 * DAY) == ("certificate_not_yet_valid", "/certificate")


def test_an_expired_issuer() -> None:
    expired = issue("Lower", CA.upper, ca=True, end=NOW - timedelta(minutes=1))
    leaf = issue("leaf", expired, names=("shop.example",))
    assert refusal(leaf.pem + expired.pem + CA.upper.pem, leaf.key_pem) == ("certificate_expired", "/certificate")


def test_a_chain_without_the_leafs_issuer() -> None:
    assert refusal(CA.leaf.pem, CA.leaf.key_pem) == ("chain_incomplete", "/certificate")
    assert refusal(CA.leaf.pem + CA.upper.pem, CA.leaf.key_pem) == ("chain_incomplete", "/certificate")


def test_an_issuer_that_may_not_sign_is_none() -> None:
    leaf = issue("other", CA.leaf, names=("shop.example",))
    assert refusal(leaf.pem + CA.chain, leaf.key_pem) == ("chain_incomplete", "/certificate")


def test_usages() -> None:
    only = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    no_signing = x509.KeyUsage(**{**only, "key_agreement": True})
    assert refusal(*leaf_with(extensions=(no_signing,))) == ("certificate_wrong_usage", "/certificate")
    for_servers, for_clients = (
        leaf_with(extensions=(x509.ExtendedKeyUsage([usage]),))
        for usage in (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    )
    assert refusal(*for_clients) == ("certificate_wrong_usage", "/certificate")
    assert refusal(*for_servers, purpose="client") == ("certificate_wrong_usage", "/certificate")
    assert read_upload(*for_clients, NOW, "client") and read_upload(*for_servers, NOW)


def test_a_leaf_that_must_be_stapled() -> None:
    must_staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    assert refusal(*leaf_with(extensions=(must_staple,))) == ("certificate_must_staple", "/certificate")


def test_a_leaf_that_is_signed_with_sha_1() -> None:
    """The library makes none any more: the name of the algorithm is written over."""
    old = issue("Old CA", ca=True, key=RSA[2048])
    leaf = issue("leaf", old, names=("shop.example",))
    der = leaf.certificate.public_bytes(serialization.Encoding.DER).replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    assert refusal(text + old.pem, leaf.key_pem) == ("signature_weak", "/certificate")


def test_too_much() -> None:
    assert refusal("A" * 10_000_000, CA.leaf.key_pem) == ("upload_too_large", "/certificate")
    assert refusal(CA.chain, "A" * 10_000_000) == ("upload_too_large", "/privateKey")
    many = "".join(issue(f"CA {n}", ca=True).pem for n in range(MAX_CERTIFICATES + 1))
    assert refusal(many, CA.leaf.key_pem) == ("upload_too_large", "/certificate")
    leaf = issue("leaf", names=("shop.example", *(f"n{number:05}.example" for number in range(6500))))
    assert len(leaf.pem) < MAX_CHAIN
    assert refusal(leaf.pem, leaf.key_pem) == ("upload_too_large", "/certificate")


def test_pkcs12() -> None:
    leaf = CA.leaf
    raw = pkcs12.serialize_key_and_certificates(
        b"shop", leaf.key, leaf.certificate, None, serialization.BestAvailableEncryption(b"secret")
    )
    text = base64.encodebytes(raw).decode()
    armed = f"-----BEGIN PKCS12-----\n{text}-----END PKCS12-----\n"
    assert refusal(text, leaf.key_pem) == refusal(armed, leaf.key_pem) == ("pkcs12_not_supported", "/certificate")
    assert refusal(CA.chain, text) == ("pkcs12_not_supported", "/privateKey")


def test_many_beginnings_without_an_end_take_no_time() -> None:
    with pytest.raises(ValueError, match="substring"):
        list(blocks("-----BEGIN A-----" * 10_000))


def test_openssl_takes_what_was_mended() -> None:
    made = read_upload(CA.upper.pem + CA.leaf.pem + CA.root.pem + CA.lower.pem, CA.leaf.key_pem, NOW)
    tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), made.chain_pem + made.key_pem)
