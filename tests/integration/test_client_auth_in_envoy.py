"""What core.client_auth takes, Envoy takes, and lets in whom nothing revokes: it refuses a whole configuration for one
list that it cannot load, and all clients of an authority for one that it makes nothing of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from scenes.client_certificates import HOUR, NOW, YEAR, Authority, Leaf, key, name, pem
from scenes.envoy_verdicts import Bundle, gate
from scenes.revocation_lists import (
    ANYTHING,
    CRITICAL,
    DELTA,
    ECDSA_SHA256,
    ECDSA_SHA256_NULL,
    FRESHEST,
    INVALIDITY,
    ISSUER,
    KEY,
    LATER,
    NOT_CRITICAL,
    NULL,
    NUMBER,
    PART,
    REASON,
    ROOT,
    SINCE,
    UNTIL,
    V2,
    common_name,
    entry,
    extended,
    extension,
    revocation_list,
    sequence,
    tagged,
    with_entry,
    with_extensions,
)

from core.client_auth import ClientAuthError, ClientTrust
from embedded.ports import free_ports
from embedded.process import ServerFailed

CLIENT = ROOT.issue("CN=client")
NAMESAKE = Authority.root("CN=v", 2)
OWN_KEY = x509.SubjectKeyIdentifier.from_public_key(key(1).public_key()).digest
NAMED = tagged(0xA1, tagged(0xA4, ROOT.certificate.issuer.public_bytes()))
URI = tagged(0xA0, tagged(0xA0, tagged(0x86, b"http://crl.test/")))
RSA_KEY = rsa.generate_private_key(65537, 2048)


def says_key(content: bytes) -> bytes:
    return extension(KEY, sequence(content))


def serial_of(authority: Authority) -> bytes:
    number = authority.certificate.serial_number
    return tagged(0x82, number.to_bytes(number.bit_length() // 8 + 1, "big"))


# What the library does not read is not in question here: Envoy is given none of it.
TAKEN = {
    "nothing special": revocation_list(),
    "the form of a later date": revocation_list(until=LATER),
    "an empty list of entries": revocation_list(revoked=sequence()),
    "a negative serial": with_entry(serial=b"\xff\x01"),
    "a long serial": with_entry(serial=b"\x01" * 100),
    "a serial twice": revocation_list(revoked=sequence(entry(), entry())),
    "an entry in the form of a later date": with_entry(when=LATER),
    "a reason": with_entry(extension(REASON, b"\x0a\x01\x01")),
    "a reason that there is not": with_entry(extension(REASON, b"\x0a\x01\x63")),
    "a reason that is none": with_entry(extension(REASON, b"\xde\xad")),
    "an unknown extension of an entry": with_entry(extension(ANYTHING, NULL)),
    "octets of a critical one in it": with_entry(extension(ANYTHING, CRITICAL + b"\x04")),
    "a number": with_extensions(extension(NUMBER, b"\x02\x01\x01")),
    "a long number": with_extensions(extension(NUMBER, tagged(2, b"\x01" * 40))),
    "an unknown extension": with_extensions(extension(ANYTHING, NULL)),
    "where changes are": with_extensions(extension(FRESHEST, sequence(sequence(URI)))),
    "its key": with_extensions(says_key(tagged(0x80, OWN_KEY))),
    "its certificate": with_extensions(says_key(NAMED + serial_of(ROOT))),
    "no key, though it may be said": with_extensions(says_key(b"")),
    "SHA-224": pem(
        x509.CertificateRevocationListBuilder(name("CN=v"), NOW - HOUR, NOW + YEAR).sign(key(1), hashes.SHA224())
    ),
    "SHA-512": pem(
        x509.CertificateRevocationListBuilder(name("CN=v"), NOW - HOUR, NOW + YEAR).sign(key(1), hashes.SHA512())
    ),
}

# Envoy cannot load these.
NOT_LOADED = {
    "no extensions, in a list": ("crl_unreadable", revocation_list(extensions=extended())),
    "none of an entry, in a list": ("crl_unreadable", revocation_list(revoked=sequence(entry(listed=True)))),
    "none of an entry among others": (
        "crl_unreadable",
        revocation_list(revoked=sequence(entry(), entry(b"\x02", LATER, listed=True), entry(b"\x03"))),
    ),
    "extensions in version 1": (
        "crl_unsupported",
        revocation_list(version=b"", extensions=extended(extension(NUMBER, b"\x02\x01\x01"))),
    ),
    "an entry's extensions in version 1": (
        "crl_unsupported",
        revocation_list(version=b"", revoked=sequence(entry(b"\x01", SINCE, extension(REASON, b"\x0a\x01\x01")))),
    ),
}

# Envoy loads these, and lets nobody in.
NOBODY = {
    "an unknown critical extension": ("crl_unsupported", with_extensions(extension(ANYTHING, NULL, CRITICAL))),
    "one of an entry": ("crl_unsupported", with_entry(extension(ANYTHING, NULL, CRITICAL))),
    "a critical reason": ("crl_unsupported", with_entry(extension(REASON, b"\x0a\x01\x01", CRITICAL))),
    "another's entry": (
        "crl_unsupported",
        with_entry(extension(ISSUER, sequence(tagged(0xA4, name("CN=other").public_bytes())), CRITICAL)),
    ),
    "of authorities alone": ("crl_unsupported", with_extensions(extension(PART, b"\x30\x03\x82\x01\xff"))),
    "of others too": ("crl_unsupported", with_extensions(extension(PART, b"\x30\x03\x84\x01\xff"))),
    "of some reasons": ("crl_unsupported", with_extensions(extension(PART, b"\x30\x04\x83\x02\x01\x06"))),
    "of a place": ("crl_unsupported", with_extensions(extension(PART, sequence(URI)))),
    "of changes": ("crl_unsupported", with_extensions(extension(DELTA, b"\x02\x01\x01", CRITICAL))),
    "another key": ("crl_unrelated", with_extensions(says_key(tagged(0x80, b"x" * 20)))),
    "another serial": ("crl_unrelated", with_extensions(says_key(NAMED + tagged(0x82, b"\x01")))),
    "another issuer": (
        "crl_unrelated",
        with_extensions(says_key(tagged(0xA1, tagged(0xA4, name("CN=other").public_bytes())) + serial_of(ROOT))),
    ),
    "a name of digits": ("crl_unrelated", revocation_list(issuer=common_name(18))),
    "SHA-3": (
        "crl_unsupported",
        pem(
            x509.CertificateRevocationListBuilder(name("CN=v"), NOW - HOUR, NOW + YEAR).sign(key(1), hashes.SHA3_256())
        ),
    ),
}


def pss(hashed: hashes.HashAlgorithm, mask: hashes.HashAlgorithm, salt: int) -> str:
    builder = x509.CertificateRevocationListBuilder(name("CN=r"), NOW - HOUR, NOW + YEAR)
    return pem(builder.sign(RSA_KEY, hashed, rsa_padding=padding.PSS(padding.MGF1(mask), salt)))


def with_rsa() -> tuple[str, Leaf]:
    """An authority's certificate, and a client's."""

    def builder(called: str, number: int) -> x509.CertificateBuilder:
        names = name("CN=r")
        return x509.CertificateBuilder(names, name(called), RSA_KEY.public_key(), number, NOW - YEAR, NOW + YEAR)

    root = builder("CN=r", 1).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    client = x509.CertificateBuilder(name("CN=r"), name("CN=c"), key(3).public_key(), 2, NOW - YEAR, NOW + YEAR)
    return pem(root.sign(RSA_KEY, hashes.SHA256())), Leaf(client.sign(RSA_KEY, hashes.SHA256()), key(3))


PSS_TAKEN = [pss(hashed(), hashed(), hashed.digest_size) for hashed in (hashes.SHA256, hashes.SHA384, hashes.SHA512)]
PSS_NOBODY = [pss(hashes.SHA256(), hashes.SHA256(), salt) for salt in (0, 20, 33)]
PSS_NOBODY.append(pss(hashes.SHA512(), hashes.SHA256(), 64))


def anything(random: Random) -> str:
    """A list in a shape that is seldom seen."""

    def some(kinds: list[str], values: list[bytes]) -> list[bytes]:
        chosen = random.sample(kinds, random.choice((0, 0, 1, 1, 2)))
        return [
            extension(one, random.choice(values), random.choice((b"",) * 9 + (CRITICAL, NOT_CRITICAL)))
            for one in chosen
        ]

    own = [
        NULL,
        b"",
        b"\x02\x01\x01",
        b"\x30\x00",
        b"\x30\x03\x81\x01\xff",
        sequence(tagged(0x80, OWN_KEY)),
        sequence(URI),
    ]
    entries = [
        entry(
            random.choice((b"\x01", b"\xff", b"\x00", random.randbytes(20))),
            random.choice((SINCE, SINCE, LATER, b"\x18\x0f00010101000000Z", b"\x17\x0b2501010000Z")),
            *some([REASON, INVALIDITY, ISSUER, ANYTHING], [NULL, b"", b"\x0a\x01\x01", b"\x0a\x01\x63", b"\xde\xad"]),
            listed=random.random() < 0.05,
        )
        for _ in range(random.choice((0, 0, 1, 2, 5)))
    ]
    extensions = some([NUMBER, DELTA, PART, KEY, FRESHEST, ANYTHING, "551d12"], own)
    return revocation_list(
        version=random.choice((V2,) * 9 + (b"",)),
        algorithm=random.choice((ECDSA_SHA256,) * 9 + (ECDSA_SHA256_NULL,)),
        since=random.choice((SINCE, SINCE, b"\x18\x0f20250101000000Z", b"\x18\x0f00010101000000Z")),
        until=random.choice((UNTIL, LATER, b"\x18\x0f99991231235959Z")),
        revoked=sequence(*entries) if entries or random.random() < 0.1 else b"",
        extensions=extended(*extensions) if extensions or random.random() < 0.1 else b"",
        issuer=random.choice((None,) * 6 + tuple(map(common_name, (12, 19, 20, 22, 18)))),
    )


def understood(authorities: str, lists: str) -> Bundle | None:
    """As it is stored; None: it is refused."""
    try:
        trust = ClientTrust.parse(authorities, lists, NOW)
    except ClientAuthError:
        return None
    return trust.ca_pem, trust.crl_pem


@pytest.fixture
def folder() -> Iterator[Path]:
    """Away from the session's files, which hold no key: here the configurations do."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.parametrize(("code", "text"), (NOT_LOADED | NOBODY).values(), ids=(NOT_LOADED | NOBODY).keys())
def test_it_is_refused_here(code: str, text: str) -> None:
    with pytest.raises(ClientAuthError) as refused:
        ClientTrust.parse(ROOT.pem, text, NOW)
    assert refused.value.code == code


@pytest.mark.parametrize("text", [text for _, text in NOT_LOADED.values()], ids=NOT_LOADED.keys())
async def test_envoy_cannot_load_it(folder: Path, text: str) -> None:
    with pytest.raises(ServerFailed):
        async with gate(folder, free_ports(1)[0], [(ROOT.pem, text)]):
            pass


async def test_envoy_lets_in_whom_nothing_revokes_and_nobody_by_what_is_refused_here(folder: Path) -> None:
    rsa_pem, rsa_client = with_rsa()
    taken = {text: understood(ROOT.pem, text) for text in TAKEN.values()}
    by_pss = {text: understood(rsa_pem, text) for text in (*PSS_TAKEN, *PSS_NOBODY)}
    assert [called for called, text in TAKEN.items() if taken[text] is None] == []
    assert [by_pss[text] is not None for text in by_pss] == [True] * 3 + [False] * 4
    bundles = [(bundle, CLIENT, True) for bundle in taken.values() if bundle is not None]
    bundles += [((ROOT.pem, text), CLIENT, False) for _, text in NOBODY.values()]
    bundles += [(bundle or (rsa_pem, text), rsa_client, bundle is not None) for text, bundle in by_pss.items()]
    async with gate(folder, free_ports(1)[0], [bundle for bundle, _, _ in bundles]) as envoy:
        let_in = [await envoy.lets_in(number, client) for number, (_, client, _) in enumerate(bundles)]
    assert let_in == [wanted for _, _, wanted in bundles]


async def test_envoy_takes_whatever_is_taken_here(folder: Path) -> None:
    random = Random(5)
    found = (understood(ROOT.pem, anything(random)) for _ in range(1500))
    bundles = list(dict.fromkeys(bundle for bundle in found if bundle is not None))
    assert len(bundles) > 100
    async with gate(folder, free_ports(1)[0], bundles) as envoy:
        refused = [bundle for number, bundle in enumerate(bundles) if not await envoy.lets_in(number, CLIENT)]
    assert refused == []


async def test_lists_of_namesakes_say_whose_they_are(folder: Path) -> None:
    """Envoy takes the first by the name, and then looks at its signature."""
    authorities = ROOT.pem + NAMESAKE.pem
    silent = revocation_list() + revocation_list(by=NAMESAKE)
    with pytest.raises(ClientAuthError) as error:
        ClientTrust.parse(authorities, silent, NOW)
    assert error.value.code == "crl_unsupported"
    telling = understood(authorities, pem(ROOT.crl()) + pem(NAMESAKE.crl()))
    assert telling is not None
    clients = (CLIENT, NAMESAKE.issue("CN=client"))
    async with gate(folder, free_ports(1)[0], [telling, (authorities, silent)]) as envoy:
        assert [await envoy.lets_in(0, one) for one in clients] == [True, True]
        assert sum([await envoy.lets_in(1, one) for one in clients]) == 1
