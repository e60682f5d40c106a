"""Whatever bytes are sent as authorities and revocation lists: what is taken, Envoy and the check can read; the rest is
refused by a code."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenes.client_certificates import HOUR, NOW, YEAR, Authority, pem

from core.client_auth import MAX_CA_SIZE, MAX_CRL_SIZE, ClientAuthError, ClientTrust
from sidecar.authz.client_trust import Trust

ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
TWIN = Authority.root("Root A", 5)
FUTURE = Authority.root("Root F", 6, since=NOW + HOUR, until=NOW + 2 * YEAR)
EXPIRED = Authority.root("Root E", 7, until=NOW - HOUR)
AUTHORITIES = (ROOT, MIDDLE, TWIN, FUTURE, EXPIRED)
LEAF = ROOT.issue()
LISTS = (ROOT.crl(1), ROOT.crl(2, since=NOW - 2 * HOUR), MIDDLE.crl(), TWIN.crl(), FUTURE.crl(), EXPIRED.crl())
STALE = ROOT.crl(until=NOW)

CA_BLOCKS = st.sampled_from([*(one.pem for one in AUTHORITIES), LEAF.pem, "words\n", ""])
CRL_BLOCKS = st.sampled_from([*map(pem, LISTS), pem(STALE), ROOT.pem, "words\n", ""])


def damaged(text: str, at: int, put: str) -> str:
    at %= len(text) + 1
    return text[:at] + put + text[at + len(put) :]


TEXTS = st.text(max_size=3)
CAS = st.lists(CA_BLOCKS, max_size=4).map("".join)
CRLS = st.lists(CRL_BLOCKS, max_size=4).map("".join)
ANY_CA = CAS | st.text() | st.builds(damaged, CAS, st.integers(0, 4000), TEXTS)
ANY_CRL = st.none() | CRLS | st.text() | st.builds(damaged, CRLS, st.integers(0, 4000), TEXTS)


@settings(max_examples=300)
@given(ANY_CA, ANY_CRL)
@example(ROOT.pem, pem(LISTS[0]) + pem(LISTS[1]))
@example("-----BEGIN CERTIFICATE-----\n" * 2000, "-----BEGIN X509 CRL-----\n" * 20_000)
@example(ROOT.pem, "-----BEGIN X509 CRL-----\n" * 39)
@example("-----BEGIN CERTIFICATE-----", None)
def test_any_text_is_taken_in_a_form_that_is_taken_again_or_is_refused_by_a_code(ca: str, crl: str | None) -> None:
    try:
        trust = ClientTrust.parse(ca, crl, NOW)
    except ClientAuthError as error:
        assert error.code.startswith(("ca_", "crl_"))
        assert error.pointer == ("/caCertificates" if error.code.startswith("ca_") else "/crl")
        return
    assert ClientTrust.parse(trust.ca_pem, trust.crl_pem, NOW) == trust
    assert ClientTrust.read(trust.ca_pem, trust.crl_pem) == trust
    assert len(trust.ca_pem) <= MAX_CA_SIZE
    assert len(trust.crl_pem or "") <= MAX_CRL_SIZE
    assert trust.authorities
    assert trust.ca_until > NOW
    assert trust.crl_until is None or trust.crl_until > NOW
    assert (trust.crl_pem is None) == (not trust.crls) == (crl is None)
    Trust(trust.ca_pem, trust.crl_pem)


@given(st.lists(st.sampled_from(AUTHORITIES[:4]), min_size=1, max_size=6), st.permutations(LISTS))
def test_what_is_taken_is_each_authority_once_with_the_newest_list_of_each(
    authorities: Sequence[Authority], lists: Sequence[object]
) -> None:
    own = {one.certificate for one in authorities}
    text = "".join(one.pem for one in authorities)
    theirs = [made for made in lists for one in own if _signed(one, made)]
    try:
        trust = ClientTrust.parse(text, "".join(map(pem, theirs)), NOW)  # type: ignore[arg-type]
    except ClientAuthError as error:
        assert (error.code, FUTURE in authorities) == ("crl_stale", True) or error.code == "crl_unrelated"
        return
    assert len(trust.authorities) == len(trust.crls) == len(own)
    assert trust.crl_pem is not None
    assert pem(LISTS[1]) not in trust.crl_pem, "there is a newer one"


def _signed(one, made) -> bool:  # type: ignore[no-untyped-def]
    return bool(made.is_signature_valid(one.public_key()))


@pytest.mark.parametrize("number", [None, 3])
def test_a_list_without_a_version_has_no_extensions(number: int | None) -> None:
    """Envoy refuses the whole secret for one that has, its own or those of a revoked certificate."""
    made = x509.CertificateRevocationListBuilder(ROOT.certificate.subject, NOW - HOUR, NOW + HOUR)
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW)
    if number is None:
        revoked = revoked.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
    else:
        made = made.add_extension(x509.CRLNumber(number), critical=False)
    signed = made.add_revoked_certificate(revoked.build()).sign(ROOT.key, hashes.SHA256())
    assert ClientTrust.parse(ROOT.pem, pem(signed), NOW).crls
    with pytest.raises(ClientAuthError) as refused:
        ClientTrust.parse(ROOT.pem, without_version(signed), NOW)
    assert refused.value.code == "crl_unreadable"


def test_a_list_of_the_first_version_is_taken() -> None:
    made = x509.CertificateRevocationListBuilder(ROOT.certificate.subject, NOW - HOUR, NOW + HOUR)
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW).build()
    signed = made.add_revoked_certificate(revoked).sign(ROOT.key, hashes.SHA256())
    (crl,) = ClientTrust.parse(ROOT.pem, without_version(signed), NOW).crls
    assert crl.revoked == 1


def without_version(made: x509.CertificateRevocationList) -> str:
    """The same, signed anew."""
    version = bytes.fromhex("020101")
    body = made.tbs_certlist_bytes
    content = body[body.index(version) + len(version) :]
    unsigned = sequence(content)
    signature = ROOT.key.sign(unsigned, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    bits = bytes([3, len(signature) + 1, 0]) + signature
    text = base64.encodebytes(sequence(unsigned + ecdsa_with_sha256 + bits)).decode()
    return f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n"


def sequence(content: bytes) -> bytes:
    """In DER."""
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x30, *([] if size < 128 else [0x80 | len(octets)]), *octets]) + content
