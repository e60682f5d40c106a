"""What a client gets, and what the platform sees, through a real Envoy, however that asks: the answers are the same."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from typing import Any

import pytest
from scenes.handshakes import openssl

from embedded.browser import HandshakeRefused, Page
from embedded.ports import LOOPBACK


async def https(world: Any, host: str, **arguments: Any) -> Page:
    return await world.edge.browser.get(host, world.edge.https_port, **arguments)


async def http(world: Any, host: str, path: str = "/", **arguments: Any) -> Page:
    return await world.edge.browser.get_plain(host, world.edge.http_port, path, **arguments)


def received(page: Page) -> list[tuple[str, str]]:
    """The headers that the upstream saw, in lower case."""
    assert page.status == 200, (page.status, page.body)
    return [(name.lower(), value) for name, value in page.json()["headers"]]


def ours(page: Page) -> list[tuple[str, str]]:
    """Those that could say who the tenant is, however they are spelled."""
    return sorted(
        (name, value)
        for name, value in received(page)
        if "tenant" in name or "nameplate" in name or name in {"x-cluster", "forwarded", "x-forwarded-host"}
    )


def head(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP/1.1 response."""
    top, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def request(host: str, *headers: str, method: str = "GET", path: str = "/") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_live_name_reaches_the_platform_with_its_tenant(world):
    page = await https(world, world.shop, path="/a?b=c")
    assert page.json()["path"] == "/a?b=c"
    assert ours(page) == [("x-nameplate-host", world.shop), ("x-tenant-id", world.acme)]
    assert ("host", world.shop) in received(page)


async def test_a_name_under_a_wildcard_is_told_its_row(world):
    assert ours(await https(world, "a.wild.test")) == [("x-nameplate-host", "*.wild.test"), ("x-tenant-id", world.acme)]
    page = await https(world, "own.wild.test")
    assert ours(page) == [("x-nameplate-host", "own.wild.test"), ("x-tenant-id", world.zeta)]


async def test_a_platform_subdomain_leads_to_its_tenant(world):
    page = await https(world, world.platform)
    assert ours(page) == [("x-nameplate-host", world.platform), ("x-tenant-id", world.acme)]


@pytest.mark.parametrize(
    "spoof",
    [
        [("x-tenant-id", "spoof")],
        [("x-tenant-id", "spoof"), ("x-tenant-id", "spoof2")],
        [("X-Tenant-ID", "spoof"), ("x-TENANT-id", "spoof2")],
        [("x_tenant_id", "spoof"), ("X_TENANT-ID", "spoof")],
        [("x-tenant-id", "")],
        [("x-tenant-id", "a,b"), ("connection", "x-tenant-id")],
        [("x-nameplate-host", "spoof"), ("x-nameplate-anything", "spoof"), ("X-Nameplate-Tenant", "spoof")],
        [("x-cluster", "platform"), ("forwarded", "host=spoof"), ("x-forwarded-host", "spoof")],
    ],
)
async def test_what_a_client_says_of_its_tenant_never_arrives(world, spoof):
    for host, tenant in ((world.shop, world.acme), ("other.test", world.zeta)):
        page = await https(world, host, headers=spoof)
        assert ours(page) == [("x-nameplate-host", host), ("x-tenant-id", tenant)]
        assert "spoof" not in json.dumps(page.json())


async def test_a_clients_envoy_headers_are_not_believed(world):
    page = await https(
        world, world.shop, headers=[("x-envoy-internal", "true"), ("x-envoy-upstream-rq-timeout-ms", "1")]
    )
    assert "x-envoy-upstream-rq-timeout-ms" not in dict(received(page))
    assert "x-envoy-internal" not in dict(received(page))
    assert dict(received(page))["x-forwarded-proto"] == "https"


async def test_the_port_and_the_case_of_a_host_do_not_matter(world):
    page = await https(world, world.shop, host_header="SHOP.MyBrand.test:8443")
    assert ours(page) == [("x-nameplate-host", world.shop), ("x-tenant-id", world.acme)]
    assert dict(received(page))["host"].lower() == world.shop, "the upstream sees no port either"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("host", ["nobody.test", "soon.test", "nobody.platform.test", "192.0.2.1", "[2001:db8::1]"])
async def test_a_name_that_is_not_served_gets_the_page(world, host, method):
    before = world.edge.upstream.requests
    for port, tls in ((world.edge.http_port, False), (world.edge.https_port, True)):
        raw = await world.edge.exchange(port, request(host, method=method), sni=world.shop, tls=tls)
        status, headers, body = head(raw)
        assert (status, headers["content-type"], headers["cache-control"]) == (
            404,
            "text/html; charset=utf-8",
            "no-store",
        )
        assert int(headers["content-length"]) > 100
        assert (b"Domain not configured for this platform" in body) == (method != "HEAD")
    assert world.edge.upstream.requests == before


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        ("shop.mybrand.test", "other.test"),
        ("shop.mybrand.test", "acme.platform.test"),
        ("acme.platform.test", "shop.mybrand.test"),
        ("a.wild.test", "own.wild.test"),
        ("own.wild.test", "a.wild.test"),
        ("", "shop.mybrand.test"),
        ("default", "shop.mybrand.test"),
        ("default", "acme.platform.test"),
    ],
)
async def test_a_host_that_the_certificate_does_not_cover_is_misdirected(world, sni, host):
    before = world.edge.upstream.requests
    status, _, _ = head(await world.edge.exchange(world.edge.https_port, request(host), sni=sni))
    assert status == 421
    absolute = request("acme.platform.test", path=f"http://{host}/")
    assert head(await world.edge.exchange(world.edge.https_port, absolute, sni=sni))[0] == 421
    assert world.edge.upstream.requests == before


@pytest.mark.parametrize(
    ("sni", "host", "tenant"),
    [
        ("a.wild.test", "b.wild.test", "acme"),
        ("acme.platform.test", "zeta.platform.test", "zeta"),
        ("", "acme.platform.test", "acme"),
        ("A.Wild.TEST", "a.wild.test", "acme"),
    ],
)
async def test_a_host_that_the_certificate_covers_is_served(world, sni, host, tenant):
    status, _, body = head(await world.edge.exchange(world.edge.https_port, request(host), sni=sni))
    assert status == 200
    assert ["x-tenant-id", getattr(world, tenant)] in json.loads(body)["headers"]


async def test_an_unknown_sni_is_refused_in_the_handshake(world):
    with pytest.raises(HandshakeRefused):
        await https(world, "nobody.test")


@pytest.mark.parametrize("sni", [b"*", b"xdstp://%zz", b"sh\xf6p.test"], ids=["wildcard", "xdstp", "no text"])
async def test_an_sni_that_would_harm_envoy_or_its_discovery_does_not_get_there(world, sni):
    """`openssl s_client` sends any octets."""
    output = await openssl(world.edge.https_port, os.fsdecode(sni))
    assert "BEGIN CERTIFICATE" not in output
    assert "alert" not in output, "it was closed before the handshake"
    with pytest.raises(HandshakeRefused):
        await https(world, "nobody.test")
    assert (await https(world, world.shop)).status == 200


async def test_http_is_redirected_to_https(world):
    page = await http(world, f"{world.shop}:8080", "/a%2Fb//c?d=e&f")
    assert (page.status, page.header("location")) == (308, f"https://{world.shop}/a%2Fb//c?d=e&f")
    assert page.body == b""
    page = await http(world, "a.wild.test", method="POST")
    assert (page.status, page.header("location")) == (308, "https://a.wild.test/")


async def test_a_challenge_is_answered_for_any_host_and_without_a_redirect(world):
    for host in (world.shop, "nobody.test", "127.0.0.1"):
        page = await http(world, host, f"/.well-known/acme-challenge/{world.token}")
        assert (page.status, page.body.decode()) == (200, world.key_authorization)
    page = await http(world, world.shop, f"/.well-known/acme-challenge/{world.token}", method="HEAD")
    assert (page.status, page.body) == (200, b"")
    page = await http(world, world.shop, "/.well-known/acme-challenge/unknown")
    assert page.status == 404


async def test_a_challenge_that_the_feed_has_not_brought_yet_is_read_once(world, number):
    """Whether the feed or the reading won, the answer is there at once."""
    edge = world.edge
    domain = await edge.add_pending_domain(await edge.add_tenant(f"fast{number}"), f"fast{number}.test")
    await edge.add_challenge(domain, f"token{number}", f"token{number}.thumb")
    page = await http(world, "any.test", f"/.well-known/acme-challenge/token{number}")
    assert (page.status, page.body.decode()) == (200, f"token{number}.thumb")


async def test_plain_http_never_reaches_the_platform(world):
    before = world.edge.upstream.requests
    spoofs = ("x-tenant-id: spoof", "x-forwarded-proto: https", "x-nameplate-host: spoof")
    for host in (world.shop, world.platform, "a.wild.test", "nobody.test"):
        for method in ("GET", "POST", "PUT", "OPTIONS", "DELETE", "PURGE"):
            raw = await world.edge.exchange(world.edge.http_port, request(host, *spoofs, method=method), tls=False)
            assert head(raw)[0] in {308, 404}
    assert world.edge.upstream.requests == before


@pytest.mark.parametrize(
    "raw",
    [
        b"CONNECT shop.mybrand.test:443 HTTP/1.1\r\nHost: shop.mybrand.test\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop.mybrand.test\r\nHost: other.test\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: shop.mybrand.test\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: sh\xffop.mybrand.test\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: *\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop.mybrand.test\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    ],
)
async def test_a_strange_request_is_refused_without_reaching_the_platform(world, raw):
    before = world.edge.upstream.requests
    answers = await asyncio.gather(  # at once, for Envoy gives such a client a second until it closes
        world.edge.exchange(world.edge.http_port, raw, tls=False),
        world.edge.exchange(world.edge.https_port, raw, sni=world.shop),
    )
    for answer in answers:
        status, _, _ = head(answer)
        assert 300 <= status < 500
    assert world.edge.upstream.requests == before


# ext_proc's log is configured as ext_authz's is, which test_ext_proc.py sees, and Envoy writes slowly.
@pytest.mark.parametrize("world", ["ext_authz", "connection"], indirect=True)
async def test_the_access_log_names_the_tenant_and_not_the_query(world, eventually):
    await https(world, world.shop, path="/logged?secret=1", headers=[("x-tenant-id", "spoof")])

    def logged() -> dict[str, Any] | None:
        lines = map(json.loads, world.edge.access_log.read_text().splitlines())
        return next((line for line in lines if line["path"] == "/logged"), None)

    line = await eventually(logged, timeout=15)  # Envoy writes it out every ten seconds
    assert (line["tenant"], line["domain"], line["status"]) == (world.acme, world.shop, 200)
    assert "secret" not in json.dumps(line)


async def test_checks_are_counted_by_their_outcome(world):
    before = await world.edge.metrics()
    await asyncio.gather(https(world, world.shop), http(world, world.shop), http(world, "nobody.test"))
    after = await world.edge.metrics()
    for outcome in (world.passes, "redirected", "not_configured"):
        name = f'nameplate_checks_total{{outcome="{outcome}"}}'
        assert after[name] == before[name] + 1


UPGRADE = ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")


def upgrade(host: str, *headers: str) -> bytes:
    lines = ["GET /live HTTP/1.1", f"Host: {host}", "Connection: Upgrade, x-tenant-id", *UPGRADE, *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_websocket_is_opened_with_its_tenant_and_carries_both_ways(world):
    context = ssl.create_default_context(cadata=world.edge.pki.root_pem)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(
            LOOPBACK, world.edge.https_port, ssl=context, server_hostname=world.shop
        )
        try:
            writer.write(upgrade(world.shop, "x-tenant-id: spoofed"))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 ")
            account = json.loads(await reader.readline())
            assert [value for name, value in account["headers"] if name == "x-tenant-id"] == [world.acme]
            # Nor may the client have the next proxy drop it (RFC 9110, 7.6.1).
            assert [value for name, value in account["headers"] if name == "connection"] == ["upgrade"]
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping"
        finally:
            writer.transport.abort()


async def test_no_websocket_is_opened_over_plain_http(world):
    raw = await world.edge.exchange(world.edge.http_port, upgrade(world.shop, "Connection: close"), tls=False)
    assert b" 101 " not in raw.partition(b"\r\n")[0]
    assert b"x-tenant-id" not in raw
