"""Every way around the chain of a domain that asks for client certificates: none leads in."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from scenes import edge as edges
from scenes.edge import CONNECTION, EXT_PROC, PLATFORM, TEMPLATE
from scenes.gate import OTHER, REFUSED, ROOT, Gate, identity

from embedded.ports import LOOPBACK


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("mode", ["required", "optional"])
async def test_no_other_names_connection_leads_to_it_and_its_own_to_no_other(gate, asked, becomes, http2, mode):
    host, domain = await gate.domain()
    await asked(host, domain, mode=mode)
    leaf = ROOT.issue()
    await becomes(host, OTHER.issue(), REFUSED)
    platform = f"acme.{PLATFORM}"
    for sni, mine, shown in (("shop.test", "shop.test", leaf), (platform, platform, None), (host, host, leaf)):
        others = {host, "shop.test", platform} - {mine}
        async with gate.client(sni, shown, http2=http2) as client:
            for one in sorted(others):
                assert await client.status(mine) == 200
                assert await client.status(one) == 421
                assert await client.status(one.upper() + ":443") == 421
            assert await client.status(mine) == 200
            assert len(client.connections) == 1


async def test_without_a_server_name_nobody_gets_there(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain)
    await becomes(host, None, REFUSED)
    request = f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    answer = await gate.edge.exchange(gate.edge.https_port, request, sni="")
    assert answer.split(b" ", 2)[1] in (b"421", b"403")


async def test_a_wildcard_asks_and_a_name_of_its_own_below_it_does_not(gate, asked, becomes):
    wildcard, domain = await gate.domain("*.wild{}.test")
    zeta = await gate.edge.add_tenant(f"zeta-{next(gate.names)}")
    base = wildcard.removeprefix("*.")
    await gate.edge.add_domain(zeta, f"own.{base}")
    leaf = ROOT.issue()
    a, b = f"a.{base}", f"b.{base}"
    await asked(a, domain)
    await becomes(a, leaf, 200)
    await becomes(a, None, 421)
    assert await gate.status(a, OTHER.issue()) == REFUSED
    assert await gate.status(b, leaf, sni=a) == 421
    assert await gate.status(f"own.{base}", None) == 200
    assert await gate.status(f"own.{base}", leaf, sni=a) == 421
    assert await gate.status(a, leaf, sni=f"own.{base}") == 421


async def test_an_open_connection_without_a_certificate_ends_as_a_way_in(gate, becomes, eventually):
    """Of the connection lane too, which was asked about once."""
    host, domain = await gate.domain()
    async with gate.client(host) as first, gate.client(host, http2=True) as second:
        await eventually(lambda: first.hears(host, 200))
        assert await second.status(host) == 200
        await gate.ask_for(domain)
        for client in (first, second):
            await eventually(lambda client=client: client.hears(host, 421))
        await becomes(host, None, REFUSED)
        for client in (first, second):
            assert await client.status(host) in (421, REFUSED), "a new connection, if the old one was closed"
    assert await gate.status(host, ROOT.issue()) == 200


async def test_once_somebody_is_refused_nobody_gets_in_without_a_certificate(gate, eventually):
    """While the domain's chain is being made, the default chain serves its name."""
    host, domain = await gate.domain()
    await eventually(lambda: _passes(gate, host))
    seen: list[int] = []
    asked = asyncio.Event()

    async def look() -> None:
        while not (asked.is_set() and seen.count(REFUSED) >= 3):
            seen.append(await gate.status(host))

    looking = asyncio.create_task(look())
    await gate.ask_for(domain)
    asked.set()
    async with asyncio.timeout(20):
        await looking
    after = seen[seen.index(next(status for status in seen if status != 200)) :]
    assert set(after) <= {421, REFUSED}, seen


async def _passes(gate: Gate, host: str) -> bool:
    return await gate.status(host) == 200


async def test_when_nobody_is_asked_any_more_everybody_passes(gate, asked, becomes, eventually):
    host, domain = await gate.domain()
    await asked(host, domain)
    leaf = ROOT.issue()
    await becomes(host, leaf, 200)
    async with gate.client(host, leaf) as client:
        assert await client.status(host) == 200
        async with gate.control() as control:
            await control.delete(gate.caller, domain)
        await becomes(host, None, 200)
        await eventually(lambda: client.hears(host, 200))  # also who has shown one; the old connection may just end
        async with gate.client(host, leaf) as new:
            assert identity(await new.told(host)) == {}


@pytest.mark.parametrize("template", [TEMPLATE, EXT_PROC, CONNECTION])
async def test_an_envoy_with_a_configuration_of_its_own_serves_it_to_nobody(gate, asked, becomes, template):
    """It has no chain that asks for certificates."""
    host, domain = await gate.domain()
    await asked(host, domain)
    await becomes(host, None, REFUSED)
    async with edges.serve_also(gate.edge, template) as other:
        own = Gate(other, gate.tenant, gate.lane)
        assert await own.status("shop.test") == 200
        assert await own.status(host) in (421, REFUSED)
        assert await own.status(host, ROOT.issue()) in (421, REFUSED)
        assert await own.status(host, sni="shop.test") == 421


async def test_no_session_is_resumed(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain)
    leaf = ROOT.issue()
    await becomes(host, leaf, 200)
    context = ssl.create_default_context(cadata=gate.edge.pki.root_pem)
    leaf.show_by(context)

    def visit(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        plain = socket.create_connection((LOOPBACK, gate.edge.https_port), timeout=10)
        with plain, context.wrap_socket(plain, server_hostname=host, session=session) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            while tls.recv(65536):
                pass
            return tls.session, bool(tls.session_reused)

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        session, _ = await asyncio.to_thread(visit, None)
        assert (await asyncio.to_thread(visit, session))[1] is False
