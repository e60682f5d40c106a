"""Whatever is uploaded, it becomes the one chain that can be served, or is refused with a code."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.hierarchy import NOW, Hierarchy, encoded, issue

from core.certificate import Certificate
from core.upload import UploadError, read_upload

CA = Hierarchy.of("shop.example")
CROSS = issue("Root", issue("Older root", ca=True), key=CA.root.key, ca=True)
OLD_LEAF = issue("leaf", CA.lower, names=("shop.example",), key=CA.leaf.key, end=NOW)
STRANGER = issue("Stranger", ca=True)
NEEDED = (CA.leaf.pem, CA.lower.pem, CA.upper.pem)
SPARE = (CA.root.pem, CROSS.pem, OLD_LEAF.pem)
NOISE = st.sampled_from(["", "\n", "\r\n", "Bag Attributes\n    friendlyName: shop\n", "subject=CN = leaf\n", "\t  "])
KEYS = st.sampled_from([encoded(CA.leaf.key, form) for form in ("PKCS8", "TraditionalOpenSSL")])
CODES = {
    "upload_too_large",
    "pkcs12_not_supported",
    "key_encrypted",
    "key_not_readable",
    "key_weak",
    "key_unsupported",
    "chain_unreadable",
    "key_mismatch",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_wrong_usage",
    "certificate_must_staple",
    "signature_weak",
    "chain_incomplete",
    "chain_unrelated",
}


@given(
    st.permutations(NEEDED),
    st.lists(st.sampled_from([*NEEDED, CA.root.pem, OLD_LEAF.pem]), max_size=5),
    st.randoms(use_true_random=False),
    st.lists(NOISE, min_size=9, max_size=9),
    KEYS,
)
def test_the_same_chain_comes_of_any_order_repetition_and_text_between(needed, spare, random, noise, key):
    parts = [*needed, *spare]
    random.shuffle(parts)
    text = "".join(between + part for between, part in zip(noise, parts, strict=False))
    assert read_upload(text, noise[8] + key + noise[7], NOW) == Certificate.parse(CA.chain, CA.leaf.key_pem)


@given(st.sets(st.sampled_from([*NEEDED, *SPARE])), st.randoms(use_true_random=False))
def test_what_is_taken_is_always_a_chain_from_the_leaf_without_a_root(parts, random):
    listed = sorted(parts)
    random.shuffle(listed)
    try:
        made = read_upload("".join(listed), CA.leaf.key_pem, NOW)
    except UploadError as refused:
        assert refused.code in CODES
        assert not set(NEEDED) <= parts
    else:
        assert {CA.leaf.pem, CA.lower.pem} <= parts
        assert made.chain_pem.startswith(CA.leaf.pem + CA.lower.pem)
        assert CA.root.pem not in made.chain_pem


@given(st.permutations([*NEEDED, STRANGER.pem]))
def test_a_stranger_is_found_wherever_it_stands(parts):
    try:
        read_upload("".join(parts), CA.leaf.key_pem, NOW)
    except UploadError as refused:
        assert (refused.code, refused.pointer) == ("chain_unrelated", "/certificate")
    else:
        raise AssertionError("it was taken")


@given(st.text() | st.sampled_from([CA.chain]), st.text() | st.sampled_from([CA.leaf.key_pem]))
def test_any_text_is_read_or_refused(chain, key):
    try:
        read_upload(chain, key, NOW)
    except UploadError as refused:
        assert refused.code in CODES
        assert key.strip() not in refused.message or not key.strip() or len(key) < 9


@given(st.data())
def test_any_damage_is_refused_or_does_no_harm(data):
    """A character that is changed, taken out or put in, in the chain or in the key."""
    texts = [CA.chain, CA.leaf.key_pem]
    which = data.draw(st.integers(0, 1))
    at = data.draw(st.integers(0, len(texts[which]) - 1))
    put = data.draw(st.text(max_size=2))
    texts[which] = texts[which][:at] + put + texts[which][at + data.draw(st.integers(0, 40)) :]
    try:
        made = read_upload(*texts, NOW)
    except UploadError as refused:
        assert refused.code in CODES
    else:
        assert CA.leaf.pem in made.chain_pem
        assert made.key_pem == CA.leaf.key_pem


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's, of what RFC 5280 does not allow
@settings(max_examples=300)
@given(st.data())
def test_a_bit_that_was_turned_in_a_certificate_or_a_key_is_found_or_does_no_harm(data):
    """In what the base64 holds, so that the damage is inside."""
    key = CA.leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    parts = [CA.leaf.certificate.public_bytes(Encoding.DER), CA.lower.certificate.public_bytes(Encoding.DER), key]
    which = data.draw(st.integers(0, 2))
    at, bit = data.draw(st.integers(0, len(parts[which]) - 1)), data.draw(st.integers(0, 7))
    parts[which] = parts[which][:at] + bytes([parts[which][at] ^ 1 << bit]) + parts[which][at + 1 :]
    leaf, lower, key = (
        f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"
        for label, der in zip(("CERTIFICATE", "CERTIFICATE", "PRIVATE KEY"), parts, strict=True)
    )
    try:
        made = read_upload(leaf + lower, key, NOW)
    except UploadError as refused:
        assert refused.code in CODES
    else:
        # What no signature covers: a signature's own padding, the issuer's signature by one that is not here.
        served = x509.load_pem_x509_certificates(made.chain_pem.encode())[0]
        assert served.tbs_certificate_bytes == CA.leaf.certificate.tbs_certificate_bytes
        assert made.key_pem == CA.leaf.key_pem
