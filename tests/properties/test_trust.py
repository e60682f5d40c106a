"""Whatever is uploaded as a bundle of authorities: it becomes those certificates alone, or is refused with a code."""

from __future__ import annotations

import json
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from scenes.hierarchy import DAY, NOW, Hierarchy, issue

from core.trust import MAX_CERTIFICATES, MAX_SIZE, Authority, TrustBundle, TrustError

CA = Hierarchy.of("shop.example")
OLD = issue("Old", ca=True, start=NOW - 9 * DAY, end=NOW - DAY)
ROOTS = [CA.root, CA.upper, CA.lower, OLD]
CODES = {"trust_too_large", "trust_unreadable", "trust_not_a_ca", "trust_expired"}
NOISE = st.sampled_from(["", "\n", "\r\n", "# Internal Root 1\n", "subject=CN = Root\n", "   "])


def refusal(pem: str, now=None) -> str:
    with pytest.raises(TrustError) as refused:
        TrustBundle.parse(pem, now)
    return refused.value.code


@given(st.lists(st.sampled_from(ROOTS), min_size=1, max_size=6), st.lists(NOISE, min_size=6, max_size=6))
def test_a_bundle_is_its_certificates_each_once_in_their_order(roots, noise):
    text = "".join(between + root.pem for between, root in zip(noise, roots, strict=False))
    bundle = TrustBundle.parse(text)
    assert bundle.pem == "".join(root.pem for root in dict.fromkeys(roots))
    assert TrustBundle.parse(bundle.pem) == bundle
    assert [one.subject for one in bundle.authorities] == [
        root.certificate.subject.rfc4514_string().removeprefix("CN=") for root in dict.fromkeys(roots)
    ]


@given(st.text() | st.sampled_from([CA.root.pem]), st.data())
def test_any_damage_is_refused_or_does_no_harm(text, data):
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 40)) :]
    try:
        bundle = TrustBundle.parse(damaged, NOW)
    except TrustError as refused:
        assert refused.code in CODES
    else:
        assert bundle.authorities
        assert TrustBundle.parse(bundle.pem) == bundle


# Some of those roots have the serial 0.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_the_list_that_browsers_trust_is_a_bundle_with_room_for_more() -> None:
    pem = Path(certifi.where()).read_text()
    count = len(TrustBundle.parse(pem).authorities)
    assert 100 < count < MAX_CERTIFICATES * 0.9
    assert len(pem) < MAX_SIZE * 0.9


def test_so_many_certificates_and_no_more() -> None:
    pems = [issue(f"R{number}", ca=True, key=CA.root.key).pem for number in range(MAX_CERTIFICATES + 1)]
    assert len(TrustBundle.parse("".join(pems[1:])).authorities) == MAX_CERTIFICATES
    assert refusal("".join(pems)) == "trust_too_large"
    assert len(TrustBundle.parse("".join(pems[1:] + pems[1:9])).authorities) == MAX_CERTIFICATES, "each counts once"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.isprintable))
def test_what_an_authority_says_is_the_same_once_it_was_stored(name):
    (one,) = TrustBundle.parse(issue(name, ca=True, key=CA.root.key).pem).authorities
    assert Authority.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_the_key_usages_of_an_authority_let_it_sign() -> None:
    words = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    words += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    for may in (True, False):
        usage = x509.KeyUsage(**{word: may and word == "key_cert_sign" for word in words})
        pem = issue("R", ca=True, extensions=(usage,)).pem
        assert (TrustBundle.parse(pem).pem == pem) if may else refusal(pem) == "trust_not_a_ca"


def test_what_is_refused() -> None:
    assert refusal("") == refusal("nothing") == refusal("\ud800") == "trust_unreadable"
    assert refusal(CA.root.pem.replace("M", "N", 3)) == "trust_unreadable"
    assert refusal(CA.root.pem + CA.root.key_pem) == "trust_unreadable"
    assert refusal(CA.root.pem + CA.leaf.pem) == "trust_not_a_ca"
    assert refusal(issue("R", ca=None).pem) == "trust_not_a_ca"
    assert refusal("é" * (MAX_SIZE // 2 + 1)) == "trust_too_large"


def test_a_bundle_without_line_breaks_is_measured_as_it_is_stored() -> None:
    """The sidecar reads what is stored, and would leave out what is longer than it may be."""
    for size in (392_300, 380_000):
        pad = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
        head, *lines, foot = issue("R", ca=True, extensions=(pad,)).pem.splitlines()
        unbroken = "\n".join([head, "".join(lines), foot])
        assert len(unbroken) < MAX_SIZE
        if size == 392_300:
            assert refusal(unbroken) == "trust_too_large"
        else:
            assert TrustBundle.parse(TrustBundle.parse(unbroken).pem)


def test_a_bundle_has_expired_when_all_of_it_has() -> None:
    assert refusal(OLD.pem, NOW) == "trust_expired"
    assert len(TrustBundle.parse(OLD.pem).authorities) == 1
    assert len(TrustBundle.parse(CA.root.pem + OLD.pem, NOW).authorities) == 2
