"""A look at an upstream names what is wrong with it, on real TLS servers."""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509
from scenes.client_certificates import HOUR, NOW, Authority, Leaf
from scenes.upstream_tls import upstream

from core.service import Address, Service, UpstreamTls
from embedded.ports import LOOPBACK, free_port
from sidecar.explain import upstream as looks
from sidecar.explain.upstream import examine, matches

CA = Authority.root("Upstreams", 1)
DNS = x509.DNSName("app.internal")
OTHER = Authority.root("Others", 2)


def service(*ports: int, tls: UpstreamTls | None = None) -> Service:
    return Service("shop", tuple(Address(LOOPBACK, port) for port in ports), tls=tls)


def tls(*names: str) -> UpstreamTls:
    return UpstreamTls(sni=names[0] if names[0][0].isalpha() else None, names=names)


async def code_of(leaf: Leaf, settings: UpstreamTls, bundle: Authority = CA) -> str | None:
    async with upstream(leaf, CA.pem) as port:
        (look,) = await examine(service(port, tls=settings), bundle.pem.encode())
    assert look["ok"] is (look["code"] is None) is (look["reason"] is None)
    assert look["address"] == f"{LOOPBACK}:{port}"
    return look["code"]


async def test_one_that_is_as_it_should_be_is_well_though_it_wants_a_client_certificate() -> None:
    assert await code_of(CA.issue(names=[DNS]), tls("app.internal")) is None


async def test_each_fault_has_its_code() -> None:
    leaf = CA.issue(names=[DNS])
    assert await code_of(leaf, tls("app.internal"), OTHER) == "upstream_untrusted"
    assert await code_of(leaf, tls("other.internal")) == "upstream_wrong_name"
    late = CA.issue(names=[DNS], since=NOW - 2 * HOUR, until=NOW - HOUR)
    assert await code_of(late, tls("app.internal")) == "upstream_untrusted"


async def test_an_intermediate_may_be_trusted_by_itself_as_envoy_has_it() -> None:
    below = CA.below("Below", 3)
    assert await code_of(below.issue(names=[DNS]), tls("app.internal"), below) is None


async def test_without_a_bundle_nobody_is_trusted() -> None:
    async with upstream(CA.issue(names=[DNS]), CA.pem) as port:
        (look,) = await examine(service(port, tls=tls("app.internal")), b"")
    assert look["code"] == "upstream_untrusted"


async def test_one_that_is_not_there_does_not_speak_tls_or_says_nothing(monkeypatch) -> None:
    monkeypatch.setattr(looks, "PATIENCE", 0.2)

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    held: list[asyncio.StreamWriter] = []

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    servers = [await asyncio.start_server(one, LOOPBACK, 0) for one in (plain, silent)]
    try:
        ports = [free_port(), *(server.sockets[0].getsockname()[1] for server in servers)]
        found = await examine(service(*ports, tls=tls("app.internal")), CA.pem.encode())
        assert [one["code"] for one in found] == ["upstream_unreachable", "upstream_tls_failed", "upstream_silent"]
        found = await examine(service(*ports[1:]), None)
        assert [one["code"] for one in found] == [None, None]
    finally:
        for writer in held:
            writer.transport.abort()
        for server in servers:
            server.close()
            await server.wait_closed()


@pytest.mark.parametrize(
    ("wanted", "kind", "had", "holds"),
    [
        ("app.internal", "dns", "APP.internal", True),
        ("app.internal", "dns", "*.internal", True),
        ("a.app.internal", "dns", "*.internal", False),
        ("*.app.internal", "dns", "a.app.internal", True),
        ("*.app.internal", "dns", "a.b.app.internal", False),
        ("app.internal", "dns", "xapp.internal", False),
        ("10.0.0.1", "ip", "10.0.0.1", True),
        ("10.0.0.1", "dns", "10.0.0.1", False),
        ("2001:db8::1", "ip", "2001:db8:0::1", True),
        ("spiffe://x/y", "uri", "spiffe://x/y", True),
        ("spiffe://x/y", "uri", "spiffe://x/Y", False),
    ],
)
def test_a_name_is_held_against_the_wanted_one_as_envoy_does(wanted: str, kind: str, had: str, holds: bool) -> None:
    assert matches(wanted, (kind, had)) is holds
