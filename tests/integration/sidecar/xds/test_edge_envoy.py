"""A real Envoy 1.40 whose client certificate for upstreams, trust in them and authorities of clients come from here."""

from __future__ import annotations

import asyncio
import ssl
from uuid import uuid4

import pytest
from cryptography import x509
from scenes import upstream_tls
from scenes.client_certificates import HOUR, NOW, Authority, pem
from scenes.edges import AUTHORITIES, change, client_auth, identity
from scenes.handshakes import openssl

from core.certificate import Certificate
from core.vault import identity_path
from embedded.envoy import Envoy
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port

DOMAIN = str(uuid4())
# Whom the upstream trusts, who signs the upstream, and somebody else.
CLIENTS, SERVERS, STRANGERS = AUTHORITIES
UPSTREAM = SERVERS.issue("CN=app", [x509.DNSName("app.internal")], number=50)


async def present(room, number: int, authority: Authority = CLIENTS) -> str:
    """Another identity `default`; its fingerprint."""
    leaf = authority.issue(f"CN=platform {number}", number=number)
    certificate = Certificate.parse(leaf.pem, leaf.key_pem)
    version = await room.store(identity_path("default"), certificate)
    change(room.edge, identities={"default": identity("default", certificate, version)})
    return certificate.fingerprint


def trust(room, *authorities: Authority) -> None:
    change(room.edge, trust={"default": "".join(one.pem for one in authorities).encode()})


@pytest.fixture
async def request_through(room, state_dir):
    """Status and body of a request through Envoy to the upstream."""
    port = free_port()
    trust(room, SERVERS)
    await present(room, 60)
    async with (
        upstream_tls.upstream(UPSTREAM, CLIENTS.pem) as upstream,
        Envoy.start(state_dir, upstream_tls.configuration(room.socket, port, upstream)),
        plain_http() as client,
    ):

        async def ask() -> tuple[int, str]:
            answer = await client.get(f"http://{LOOPBACK}:{port}/", timeout=10)
            return answer.status_code, answer.text

        yield ask


async def test_an_upstream_is_shown_the_identity_and_another_one_after_a_rotation_without_a_failed_request(
    room, request_through, eventually
):
    shown = set()
    rotating = asyncio.Event()

    async def load() -> None:
        while not rotating.is_set():
            status, body = await request_through()
            assert status == 200, body
            shown.add(body)

    loading = asyncio.create_task(load())
    await eventually(lambda: shown)
    fingerprints = set(shown)
    for number in range(61, 66):
        fingerprint = await present(room, number)
        fingerprints.add(fingerprint)
        await eventually(lambda wanted=fingerprint: wanted in shown or loading.done())
    rotating.set()
    await loading
    assert shown == fingerprints


async def test_trust_in_the_upstream_follows_and_a_wrong_one_is_a_clean_503(room, request_through, eventually):
    assert (await request_through())[0] == 200

    async def status(wanted: int) -> bool:
        found, body = await request_through()
        assert found in {200, 503}, body
        return found == wanted

    trust(room, STRANGERS)
    await eventually(lambda: status(503))
    trust(room, STRANGERS, SERVERS)  # a rotation with overlap
    await eventually(lambda: status(200))


async def test_an_upstream_that_does_not_know_the_identity_is_a_clean_503(room, request_through, eventually):
    await present(room, 70, STRANGERS)

    async def refused() -> bool:
        return (await request_through())[0] == 503

    await eventually(refused)


async def test_envoy_keeps_identity_and_trust_while_the_sidecar_is_away(room, request_through):
    before = await request_through()
    await room.stop()
    assert await request_through() == before


# --- clients


@pytest.fixture
async def asking(room, state_dir):
    """The port of a listener that wants a client certificate of CLIENTS."""
    port = free_port()
    await room.store_platform()
    ask_clients(room, CLIENTS.pem)
    async with Envoy.start(state_dir, upstream_tls.asking(room.socket, port, DOMAIN)):
        yield port


def ask_clients(room, ca_pem: str, crl_pem: str | None = None) -> None:
    change(room.edge, client_auth={DOMAIN: client_auth(DOMAIN, ca_pem, crl_pem)})


async def lets_in(port: int, leaf) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if leaf is not None:
        leaf.show_by(context)
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname="m.test")
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: m.test\r\nConnection: close\r\n\r\n")
                return (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                writer.transport.abort()
    except (ssl.SSLError, OSError):  # in TLS 1.3 the refusal comes after the client's side of the handshake
        return False


@pytest.fixture
def becomes(eventually):
    async def wait(port: int, leaf, *, let_in: bool) -> None:
        async def so() -> bool:
            return await lets_in(port, leaf) is let_in

        await eventually(so, timeout=10)

    return wait


async def test_clients_of_the_domains_authority_are_let_in_and_no_others(asking, becomes):
    good = CLIENTS.issue(number=80)
    await becomes(asking, good, let_in=True)
    assert not await lets_in(asking, None)
    assert not await lets_in(asking, STRANGERS.issue(number=81))
    assert not await lets_in(asking, CLIENTS.issue(number=82, until=NOW - HOUR / 2))


async def test_a_revocation_counts_at_the_next_handshake_and_a_stale_list_lets_nobody_in(room, asking, becomes):
    good, revoked = CLIENTS.issue(number=80), CLIENTS.issue(number=81)
    await becomes(asking, revoked, let_in=True)
    ask_clients(room, CLIENTS.pem, pem(CLIENTS.crl(revoked.serial)))
    await becomes(asking, revoked, let_in=False)
    assert await lets_in(asking, good)
    ask_clients(room, CLIENTS.pem, pem(CLIENTS.crl(since=NOW - 2 * HOUR, until=NOW - HOUR)))
    await becomes(asking, good, let_in=False)
    ask_clients(room, CLIENTS.pem)  # without a list there is nothing to be stale
    await becomes(asking, good, let_in=True)


async def test_authorities_rotate_with_overlap_and_a_withdrawn_one_lets_nobody_in(room, asking, becomes):
    old, new = CLIENTS.issue(number=80), STRANGERS.issue(number=81)
    await becomes(asking, old, let_in=True)
    ask_clients(room, CLIENTS.pem + STRANGERS.pem)
    await becomes(asking, new, let_in=True)
    assert await lets_in(asking, old)
    ask_clients(room, STRANGERS.pem)
    await becomes(asking, old, let_in=False)
    assert await lets_in(asking, new)


async def test_several_authorities_have_a_list_each(room, asking, becomes):
    leaves = {number: authority.issue(number=80 + number) for number, authority in enumerate((CLIENTS, STRANGERS))}
    lists = pem(CLIENTS.crl(leaves[0].serial)) + pem(STRANGERS.crl())
    await becomes(asking, leaves[0], let_in=True)
    ask_clients(room, CLIENTS.pem + STRANGERS.pem, lists)
    await becomes(asking, leaves[0], let_in=False)
    assert await lets_in(asking, leaves[1])


async def test_no_server_name_of_a_client_brings_it_a_secret_of_the_edge(room, state_dir):
    """With envoy/static.yaml's matcher such a name gets no further; tests/integration/sidecar/edge. Here without it:
    what is no certificate is not shown, and the stream of all others goes on."""
    from scenes import handshakes

    port = free_port()
    trust(room, SERVERS)
    ask_clients(room, CLIENTS.pem)
    entry = await room.add("shop.brand.test")
    async with Envoy.start(state_dir, handshakes.configuration(room.socket, port, patience="1s")):
        for sni in ("upstream-ca/default", f"client-ca/{DOMAIN}"):
            assert "BEGIN CERTIFICATE" not in await openssl(port, sni)
        assert await handshakes.fingerprint(port, "shop.brand.test") == entry.fingerprint
