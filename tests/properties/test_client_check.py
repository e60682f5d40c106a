"""Requests of a domain that asks for client certificates, in any order with changes of everything: what is kept of what
was found never matters, and nobody passes who should not."""

from __future__ import annotations

from urllib.parse import quote

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.client_certificates import HOUR, NOW, Authority, Leaf, pem

from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz.client import Client, Clients
from sidecar.edge.model import ClientAuth, Consumer, Edge

ROOT = Authority.root("Root A", 1)
MIDDLE = ROOT.below("Middle A", 2)
OTHER = Authority.root("Root B", 4)
SHORT = Authority.root("Root S", 5, until=NOW + HOUR)
LEAVES: tuple[tuple[Leaf, Authority], ...] = (
    (ROOT.issue("CN=a"), ROOT),
    (ROOT.issue("CN=b", until=NOW + HOUR), ROOT),
    (MIDDLE.issue("CN=c", [x509.DNSName("c.test")]), MIDDLE),
    (OTHER.issue("CN=a", since=NOW + HOUR), OTHER),
    (SHORT.issue("CN=d"), SHORT),
)
ISSUERS = (ROOT, MIDDLE, OTHER, SHORT)
DOMAIN, TENANT, HOST = "d0000000-0000-0000-0000-000000000001", "7b0f2a52-6a9c-4f0c-9a51-000000000001", "m.test"
KNOWN = (
    Consumer("c0000000-0000-0000-0000-000000000001", TENANT, "a", "subject", "CN=a", ("g",)),
    Consumer("c0000000-0000-0000-0000-000000000002", TENANT, "c", "san", "dns:c.test", ()),
)


@st.composite
def auths(draw: st.DrawFn) -> ClientAuth:
    trusted = draw(st.lists(st.sampled_from(ISSUERS), min_size=1, unique=True))
    crls = None
    if draw(st.booleans()):
        revoked = draw(st.lists(st.sampled_from(LEAVES), unique_by=lambda pair: pair[0].serial))
        until = draw(st.sampled_from([NOW + HOUR / 2, NOW + 9 * HOUR]))
        crls = "".join(
            pem(one.crl(*(leaf.serial for leaf, issuer in revoked if issuer is one), until=until)) for one in trusted
        ).encode()
    return ClientAuth(
        domain_id=DOMAIN,
        tenant_id=TENANT,
        hostname=HOST,
        required=draw(st.booleans()),
        lookup=draw(st.booleans()),
        identity_by=("san", "subject"),
        groups_from=None,
        ca_pem="".join(one.pem for one in trusted).encode(),
        crl_pem=crls,
    )


EDGES = st.builds(
    lambda auth, consumers: Edge(client_auth={DOMAIN: auth}, consumers={TENANT: tuple(consumers)}),
    auths(),
    st.lists(st.sampled_from(KNOWN), unique=True),
)
HOSTS = st.sampled_from([HOST, "M.test:443", "m.test.", "other.test", "", "\x00", "ı.test"])
QUESTIONS = st.tuples(HOSTS, HOSTS, st.none() | st.sampled_from(LEAVES), st.booleans())
STEPS = st.lists(
    st.tuples(st.just("edge"), EDGES)
    | st.tuples(st.just("clock"), st.sampled_from([-0.25, 0.25, 0.5, 1.0]))
    | st.tuples(st.just("ask"), QUESTIONS)
    | st.tuples(st.just("ask"), st.tuples(st.just(HOST), st.just(HOST), st.sampled_from(LEAVES), st.just(True))),
    min_size=5,
    max_size=25,
)


def shown(leaf: Leaf | None, with_chain: bool) -> tuple[bytes, bytes]:
    if leaf is None:
        return b"", b""
    certificate = quote(leaf.pem, safe="")
    chain = certificate + "".join(quote(pem(one), safe="") for one in leaf.chain)
    return certificate.encode(), f'Hash=00;Chain="{chain}"'.encode() if with_chain else b""


@settings(max_examples=60)
@given(EDGES, STEPS)
def test_what_was_found_before_never_matters_and_nobody_passes_who_should_not(edge: Edge, steps) -> None:  # type: ignore[no-untyped-def]
    now = NOW.timestamp()
    clients = Clients(lambda: now)
    for kind, what in steps:
        if kind == "edge":
            edge = what
        elif kind == "clock":
            now += what * HOUR.total_seconds()
        else:
            host, sni, pair, with_chain = what
            leaf, issuer = pair or (None, None)
            auth = edge.client_auth[DOMAIN]
            question = (edge, auth, host, sni, *shown(leaf, with_chain))
            answer = clients.decide(*question)
            fresh = Clients(lambda: now).decide(*question)  # noqa: B023
            assert getattr(answer, "headers", None) == getattr(fresh, "headers", None)
            assert getattr(answer, "outcome", None) == getattr(fresh, "outcome", None)
            assert isinstance(answer, Client) == passes(edge, auth, host, sni, leaf, issuer, with_chain, now)
            if isinstance(answer, Client) and leaf is None:
                assert answer.headers == ()


def passes(  # type: ignore[no-untyped-def]
    edge: Edge, auth: ClientAuth, host: str, sni: str, leaf: Leaf | None, issuer, with_chain: bool, now: float
) -> bool:
    """The rules once more, of the certificates that these tests have."""
    name = normalize_host_header(host)
    if name is None or normalize_sni(sni) != name:
        return False
    if leaf is None:
        return not auth.required
    trusted = [one for one in ISSUERS if one.pem.encode() in auth.ca_pem]
    path = [issuer] if issuer in trusted else [issuer, ROOT]
    if path[-1] not in trusted or (len(path) == 2 and (issuer is not MIDDLE or not with_chain)):
        return False
    for one in (leaf.certificate, *(each.certificate for each in path)):
        if not one.not_valid_before_utc.timestamp() <= now < one.not_valid_after_utc.timestamp() + 1:
            return False
    if auth.crl_pem is not None:
        lists = [
            x509.load_pem_x509_crl(f"-----BEGIN{text}".encode())
            for text in auth.crl_pem.decode().split("-----BEGIN")[1:]
        ]
        for issued, one in zip([leaf, *path], path, strict=False):
            own = [made for made in lists if made.is_signature_valid(one.key.public_key())]
            if not own or not own[0].last_update_utc.timestamp() <= now < own[0].next_update_utc.timestamp():
                return False
            if own[0].get_revoked_certificate_by_serial_number(issued.certificate.serial_number):
                return False
    if not auth.lookup:
        return True
    names = {f"subject CN={name}" for name in "abcd" if leaf.certificate.subject.rfc4514_string() == f"CN={name}"}
    names |= {"san dns:c.test"} if leaf is LEAVES[2][0] else set()
    return any(f"{each.kind} {each.value}" in names for each in edge.consumers[TENANT])
