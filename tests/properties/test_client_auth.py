"""Whatever bytes are sent as authorities and revocation lists: what is taken, Envoy and the check can read; the rest is
refused by a code."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenes import revocation_lists
from scenes.client_certificates import HOUR, NOW, YEAR, Authority, pem
from scenes.revocation_lists import (
    ANYTHING,
    CRITICAL,
    INVALIDITY,
    LATER,
    REASON,
    SINCE,
    entry,
    extension,
    revocation_list,
    sequence,
)

from core.client_auth import MAX_CA_SIZE, MAX_CRL_SIZE, ClientAuthError, ClientTrust, Crl
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
    assert tuple(Crl.from_json(one.to_json()) for one in trust.crls) == trust.crls
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


def test_a_list_of_the_first_version_is_refused() -> None:
    with pytest.raises(ClientAuthError) as refused:
        ClientTrust.parse(revocation_lists.ROOT.pem, revocation_list(version=b"", revoked=sequence(entry())), NOW)
    assert refused.value.code == "crl_unsupported"


SERIALS = st.binary(min_size=1, max_size=20).map(lambda octets: b"\x01" + octets)
EXTENSIONS = st.lists(
    st.builds(extension, st.sampled_from([REASON, INVALIDITY, ANYTHING, "2a" + "03" * 62]), st.binary(max_size=40)),
    unique=True,
    max_size=3,
)


@given(st.lists(st.tuples(SERIALS, EXTENSIONS), max_size=20), st.randoms(use_true_random=False))
def test_an_entry_with_a_critical_extension_is_found_among_others(
    entries: list[tuple[bytes, list[bytes]]], random: Random
) -> None:
    """And no other is taken for one, whatever its octets are."""
    made = [entry(serial, SINCE, *extensions) for serial, extensions in entries]
    text = revocation_list(revoked=sequence(*made) if made else b"")
    assert ClientTrust.parse(revocation_lists.ROOT.pem, text, NOW).crls
    oid = random.choice([REASON, ANYTHING, "2a" + "03" * 62])
    critical = extension(oid, random.randbytes(random.randrange(200)), CRITICAL)
    made.insert(random.randrange(len(made) + 1), entry(b"\x07", random.choice([SINCE, LATER]), critical))
    with pytest.raises(ClientAuthError) as refused:
        ClientTrust.parse(revocation_lists.ROOT.pem, revocation_list(revoked=sequence(*made)), NOW)
    assert refused.value.code == "crl_unsupported"
