"""The https listener while domains come and go that ask for client certificates, and behind a load balancer."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from scenes import bare
from scenes.edge import PLATFORM
from scenes.lanes import Http1, Http2

from embedded.ports import LOOPBACK

HOST = f"acme.{PLATFORM}"


async def in_place(edge) -> int:
    return (await edge.envoy.stats("listener_manager"))["listener_manager.listener_in_place_updated"]


async def test_domains_with_client_certificates_disturb_no_open_connection(either_lane, eventually):
    edge = either_lane
    tenant = await edge.add_tenant("many")
    domains = [await edge.add_pending_domain(tenant, f"m{number}.test") for number in range(20)]
    async with bare.rows(edge) as rows:
        first = Http1.connect(edge.https_port, HOST, edge.pki.root_pem)
        second = Http2.connect(edge.https_port, HOST, edge.pki.root_pem)
        async with first as http1, second as http2:

            async def both_go_on() -> None:
                for connection in (http1, http2):
                    answer = await connection.get(HOST)
                    assert (answer.status, answer.headers.get("connection")) == (200, None)

            await both_go_on()
            for several in (10, 20):
                before = await in_place(edge)
                for domain in domains[several - 10 : several]:
                    await rows.client_auth(domain)
                await eventually(lambda several=several: has_chains(edge, several), timeout=15)
                # A burst is few versions of the listener.
                assert 1 <= await in_place(edge) - before <= 10
                await both_go_on()
            await rows.connection.execute("DELETE FROM client_auth")
            await eventually(lambda: has_chains(edge, 0), timeout=15)

            async def drained() -> bool:
                stats = await edge.envoy.stats("listener_manager")
                return stats["listener_manager.total_filter_chains_draining"] == 0

            await eventually(drained, timeout=15)
            await both_go_on()
        stats = await edge.envoy.stats("listener_manager")
        assert stats["listener_manager.lds.update_rejected"] == 0
        assert stats["listener_manager.listener_modified"] == stats["listener_manager.listener_in_place_updated"]


async def has_chains(edge, several: int) -> bool:
    """Whether so many domains have a chain of their own, and the listener with them serves."""
    dump = (await edge.envoy.admin("GET", "/config_dump?resource=dynamic_listeners")).json()
    (https,) = [one for one in dump["configs"] if one["name"] == "https"]
    if "warming_state" in https:
        return False
    names = [chain["name"] for chain in https["active_state"]["listener"]["filter_chains"]]
    return len(names) == several + 1


async def test_behind_a_load_balancer_with_proxy_protocol_the_visitor_s_address_is_known(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    async with bare.serve(edge, NAMEPLATE_PROXY_PROTOCOL="true"):

        async def visit(head: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(LOOPBACK, edge.https_port)
            try:
                async with asyncio.timeout(10):
                    writer.write(head)
                    context = ssl.create_default_context(cadata=edge.pki.root_pem)
                    await writer.start_tls(context, server_hostname=HOST)
                    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                    return await reader.read()
            finally:
                writer.transport.abort()

        for head in (
            b"PROXY TCP4 203.0.113.7 127.0.0.1 5555 443\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + b"\x15\xb3\x01\xbb",
        ):
            answer = await visit(head)
            assert answer.startswith(b"HTTP/1.1 200")
            headers = dict(json.loads(answer.partition(b"\r\n\r\n")[2])["headers"])
            assert headers["x-forwarded-for"] == "203.0.113.7"
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await visit(b"")
        reader, writer = await asyncio.open_connection(LOOPBACK, edge.http_port)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        with pytest.raises(ConnectionError):
            assert not await reader.read()
            raise ConnectionResetError
        writer.transport.abort()
