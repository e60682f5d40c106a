"""A client's certificate against the authorities and the lists of now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from scenes.client_certificates import HOUR, NOW, YEAR, Authority, Leaf, name, pem

from core.client_auth import ClientAuthError, ClientTrust
from sidecar.authz.client_trust import Finding, Standing, Trust

ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
LOWER = MIDDLE.below("Lower A", 3)
OTHER = Authority.root("Root B", 4)
TWIN = Authority.root("Root A", 5)  # the same name, another key
HERE = NOW.timestamp()
SECONDS = HOUR.total_seconds()

GOOD, EXPIRED, UNTRUSTED = Standing.GOOD, Standing.EXPIRED, Standing.UNTRUSTED
STALE, REVOKED = Standing.STALE, Standing.REVOKED


def trust(authorities: Sequence[Authority], crls: Sequence[x509.CertificateRevocationList] = ()) -> Trust:
    return Trust("".join(one.pem for one in authorities), "".join(map(pem, crls)) or None)


def look(of: Trust, leaf: Leaf, now: float = HERE, *, sent: bool = True) -> Finding:
    return of.examine(leaf.certificate, (leaf.certificate, *leaf.chain) if sent else (), now)


def standing(of: Trust, leaf: Leaf, now: float = HERE, *, sent: bool = True) -> Standing:
    return look(of, leaf, now, sent=sent).standing


@pytest.mark.parametrize("issuer", [ROOT, MIDDLE, LOWER])
def test_a_certificate_is_good_below_an_authority_over_what_was_sent_with_it(issuer: Authority) -> None:
    assert standing(trust([ROOT]), issuer.issue()) is GOOD
    assert standing(trust([OTHER]), issuer.issue()) is UNTRUSTED
    assert standing(trust([OTHER, ROOT]), issuer.issue()) is GOOD


def test_an_authority_need_not_be_a_root() -> None:
    assert standing(trust([MIDDLE]), MIDDLE.issue(), sent=False) is GOOD
    assert standing(trust([MIDDLE]), LOWER.issue()) is GOOD
    assert standing(trust([MIDDLE]), ROOT.issue()) is UNTRUSTED


def test_without_what_lies_between_there_is_no_path() -> None:
    assert standing(trust([ROOT]), LOWER.issue(), sent=False) is UNTRUSTED
    assert standing(trust([ROOT, LOWER]), LOWER.issue(), sent=False) is GOOD


def test_the_name_of_an_authority_is_not_the_authority() -> None:
    assert standing(trust([TWIN]), ROOT.issue()) is UNTRUSTED
    assert standing(trust([TWIN, ROOT]), ROOT.issue()) is GOOD
    assert standing(trust([ROOT, TWIN]), TWIN.issue()) is GOOD


def test_a_client_is_no_authority() -> None:
    client = ROOT.issue("CN=client", number=10)
    posing = Authority(client.certificate, client.key, (client.certificate,))
    assert standing(trust([ROOT]), posing.issue("CN=forged")) is UNTRUSTED


def test_an_authority_that_may_have_no_further_ones_has_none() -> None:
    last = ROOT.below("Last", 11, path_length=0)
    assert standing(trust([ROOT]), last.issue()) is GOOD
    assert standing(trust([ROOT]), last.below("Beyond", 12).issue()) is UNTRUSTED


def test_an_authority_for_some_names_is_none_for_others() -> None:
    only = x509.NameConstraints([x509.DNSName("acme.test")], None)
    named = ROOT.below("Named", 13, extensions=[(only, True)])
    assert standing(trust([ROOT]), named.issue("CN=a", [x509.DNSName("a.acme.test")])) is GOOD
    assert standing(trust([ROOT]), named.issue("CN=a", [x509.DNSName("a.other.test")])) is UNTRUSTED


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (NOW - 2 * HOUR, NOW - HOUR, EXPIRED),
        (NOW + HOUR, NOW + 2 * HOUR, EXPIRED),
        (NOW, NOW + HOUR, GOOD),
        (NOW - HOUR, NOW, GOOD),
    ],
)
def test_a_certificate_is_good_from_its_first_second_to_its_last(since, until, expected) -> None:  # type: ignore[no-untyped-def]
    assert standing(trust([ROOT]), ROOT.issue(since=since, until=until)) is expected


def test_it_is_good_no_longer_than_its_authority_and_what_lies_between() -> None:
    short = Authority.root("Short", 14, until=NOW + HOUR)
    between = ROOT.below("Between", 15, until=NOW + HOUR)
    for of, leaf in ((trust([short]), short.issue()), (trust([ROOT]), between.issue())):
        assert standing(of, leaf) is GOOD
        assert standing(of, leaf, HERE + SECONDS) is GOOD
        assert standing(of, leaf, HERE + SECONDS + 1) is UNTRUSTED


def test_a_finding_holds_until_something_begins_or_ends() -> None:
    leaf = ROOT.issue(since=NOW - HOUR, until=NOW + HOUR)
    crl = ROOT.crl(since=NOW - HOUR / 2, until=NOW + HOUR / 2)
    found = look(trust([ROOT], [crl]), leaf)
    assert found == Finding(GOOD, HERE - SECONDS / 2, HERE + SECONDS / 2)
    later = look(trust([ROOT], [crl]), leaf, found.until)
    assert later == Finding(STALE, found.until, HERE + SECONDS + 1)
    last = look(trust([ROOT], [crl]), leaf, later.until)
    assert last.standing is EXPIRED
    assert last.since == later.until


def test_who_is_on_a_list_is_revoked() -> None:
    leaf, fine = ROOT.issue(), ROOT.issue()
    of = trust([ROOT], [ROOT.crl(leaf.serial)])
    assert standing(of, leaf) is REVOKED
    assert standing(of, fine) is GOOD


def test_who_lies_between_and_is_on_a_list_is_revoked_with_all_below() -> None:
    crls = [ROOT.crl(MIDDLE.certificate.serial_number), MIDDLE.crl(), LOWER.crl()]
    leaf = LOWER.issue()
    assert standing(trust([ROOT], crls[:1]), MIDDLE.issue()) is STALE  # what MIDDLE has revoked is not known
    of = trust([ROOT, MIDDLE, LOWER], crls)
    assert standing(of, MIDDLE.issue()) is REVOKED
    assert standing(of, ROOT.issue()) is GOOD
    # LOWER is trusted for its own sake.
    assert standing(of, leaf, sent=False) is GOOD
    of = trust([ROOT, MIDDLE, LOWER], [*crls[:1], MIDDLE.crl(LOWER.certificate.serial_number), LOWER.crl()])
    assert standing(of, leaf) is not GOOD


def test_where_there_are_lists_an_authority_without_one_lets_nobody_in() -> None:
    of = trust([ROOT, OTHER], [ROOT.crl()])
    assert standing(of, ROOT.issue()) is GOOD
    assert standing(of, OTHER.issue()) is STALE


@pytest.mark.parametrize(
    ("since", "until"), [(NOW - 2 * HOUR, NOW - HOUR), (NOW - HOUR, NOW), (NOW + HOUR, NOW + 2 * HOUR)]
)
def test_a_stale_list_lets_none_of_its_authority_in_and_harms_no_other(since, until) -> None:  # type: ignore[no-untyped-def]
    leaf = ROOT.issue()
    of = trust([ROOT, OTHER], [ROOT.crl(leaf.serial, since=since, until=until), OTHER.crl()])
    assert standing(of, ROOT.issue()) is STALE
    assert standing(of, leaf) is STALE
    assert standing(of, OTHER.issue()) is GOOD


def test_the_newest_list_counts() -> None:
    leaf = ROOT.issue()
    older, newer = ROOT.crl(leaf.serial, since=NOW - 2 * HOUR), ROOT.crl()
    for crls in ([older, newer], [newer, older]):
        assert standing(trust([ROOT], crls), leaf) is GOOD


def test_a_list_is_that_of_a_key_and_not_of_a_name() -> None:
    leaf = ROOT.issue()
    assert standing(trust([ROOT, TWIN], [TWIN.crl(leaf.serial), ROOT.crl()]), leaf) is GOOD
    assert standing(trust([ROOT, TWIN], [TWIN.crl(), ROOT.crl(leaf.serial)]), leaf) is REVOKED


def test_a_renewed_authority_has_the_list_of_its_key() -> None:
    older = ROOT.below("Middle A", 2, since=NOW - 2 * YEAR)
    renewed = ROOT.below("Middle A", 2)
    leaf = older.issue()
    of = trust([ROOT, renewed], [ROOT.crl(), renewed.crl(leaf.serial)])
    assert standing(of, leaf) is REVOKED
    assert standing(of, older.issue()) is GOOD


def test_more_than_a_client_may_send_is_not_looked_at() -> None:
    leaf = LOWER.issue()
    of = trust([ROOT])
    for names in (["Lower A"] * 3, [f"R{number}" for number in range(9)]):
        junk = [Authority.root(name, 100 + number).certificate for number, name in enumerate(names)]
        assert of.examine(leaf.certificate, [*leaf.chain, *junk], HERE).standing is GOOD
        assert of.examine(leaf.certificate, [*junk, *leaf.chain], HERE).standing is UNTRUSTED


def test_a_path_has_a_bound() -> None:
    below = [ROOT]
    for number in range(6):
        below.append(below[-1].below(f"L{number}", 200 + number))
    assert standing(trust([ROOT]), below[4].issue()) is GOOD
    assert standing(trust([ROOT]), below[6].issue()) is UNTRUSTED
    assert standing(trust([below[3]]), below[6].issue()) is GOOD


def test_paths_without_an_end_are_given_up() -> None:
    """Certificates of one name and key, each of which is signed by each of the others."""
    name, key = "Round", 50
    first = Authority.root(name, key)
    ring = [Authority.root(name, key, until=NOW + (number + 1) * HOUR).certificate for number in range(30)]
    leaf = first.issue()
    assert trust([ROOT]).examine(leaf.certificate, ring, HERE).standing is UNTRUSTED


@pytest.mark.parametrize(("bits", "exponent"), [(16384, 65537), (4096, 2**64 + 13)])
def test_certificates_whose_signatures_take_long_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, bits: int, exponent: int
) -> None:
    """Envoy does not look at what it needs no path over, so a client may send of these what it likes."""
    seen: list[x509.Certificate] = []
    of = trust([ROOT])
    standing = Trust._standing
    monkeypatch.setattr(
        Trust, "_standing", lambda self, one, others, now: seen.extend(others) or standing(self, one, others, now)
    )
    public = rsa.RSAPublicNumbers(exponent, 2**bits - 1).public_key()
    slow = (
        x509.CertificateBuilder()
        .subject_name(name("Lower A"))
        .issuer_name(name("Lower A"))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(NOW - YEAR)
        .not_valid_after(NOW + YEAR)
        .sign(OTHER.key, hashes.SHA256())
    )
    leaf = LOWER.issue()
    assert of.examine(leaf.certificate, [slow] * 9 + list(leaf.chain), HERE).standing is GOOD
    assert tuple(seen) == leaf.chain


@pytest.mark.parametrize(
    ("key", "known"),
    [
        (ec.generate_private_key(ec.SECP256R1()), True),
        (ec.generate_private_key(ec.SECP384R1()), True),
        (ec.generate_private_key(ec.SECP521R1()), True),
        (rsa.generate_private_key(65537, 2048), True),
        (rsa.generate_private_key(65537, 1024), False),
        (ec.generate_private_key(ec.SECP224R1()), False),
        (ec.generate_private_key(ec.SECP256K1()), False),
        (ed25519.Ed25519PrivateKey.generate(), False),
    ],
)
def test_an_authority_whose_clients_are_not_let_in_is_not_taken_in_the_first_place(key: Any, known: bool) -> None:
    """Envoy would let those of the last but one in."""
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    root, client = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("R"))
        .public_key(public)
        .serial_number(number)
        .not_valid_before(NOW - YEAR)
        .not_valid_after(NOW + YEAR)
        .add_extension(x509.BasicConstraints(ca, None), True)
        .sign(key, algorithm)
        for number, (subject, public, ca) in enumerate(
            [("R", key.public_key(), True), ("c", OTHER.key.public_key(), False)], 1
        )
    )
    assert Trust(pem(root), None).examine(client, [], HERE).standing is (GOOD if known else UNTRUSTED)
    try:
        ClientTrust.parse(pem(root), None, NOW)
    except ClientAuthError as error:
        assert (error.code, known) == ("ca_unsupported", False)
    else:
        assert known


@pytest.mark.parametrize(
    "rule",
    [
        x509.NameConstraints([x509.DirectoryName(name("O=acme"))], None),
        x509.PolicyConstraints(0, None),
        x509.InhibitAnyPolicy(0),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]),
    ],
)
def test_an_authority_with_a_rule_that_is_not_known_is_not_taken_and_leads_nowhere(rule: x509.ExtensionType) -> None:
    ruled = ROOT.below("Ruled", 16, extensions=[(rule, True)])
    with pytest.raises(ClientAuthError) as raised:
        ClientTrust.parse(ruled.pem, None, NOW)
    assert raised.value.code == "ca_unsupported"
    assert standing(trust([ROOT]), ruled.issue()) is UNTRUSTED


@pytest.mark.parametrize("kind", [x509.DNSName("acme.test"), x509.RFC822Name("acme.test")])
def test_an_authority_for_some_names_is_taken(kind: x509.GeneralName) -> None:
    named = ROOT.below("Named", 17, extensions=[(x509.NameConstraints([kind], None), True)])
    assert ClientTrust.parse(named.pem, None, NOW).authorities[0].subject == "Named"
    assert standing(trust([named]), named.issue("CN=a")) is GOOD


def test_what_is_no_trust_is_none() -> None:
    for ca, crl in (("", None), (ROOT.issue().pem, None), (ROOT.pem, "no list")):
        with pytest.raises(ClientAuthError):
            Trust(ca, crl)
