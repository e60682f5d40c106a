"""What a client gets when a part is away, or when the upstream speaks another protocol."""

from __future__ import annotations

import asyncio
import ssl

import h2.config
import h2.connection
import h2.events
import pytest
import yaml
from scenes import edge as edges
from scenes.edge import PLATFORM
from scenes.lanes import Http2Upstream, with_http2_upstream

from embedded.browser import HandshakeRefused
from embedded.ports import LOOPBACK

SLUG = "acme"
HOST = f"{SLUG}.{PLATFORM}"


async def test_without_the_sidecar_no_request_passes(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_tenant(SLUG)
    async with edges.serve(edge):
        spoof = [("x-tenant-id", "spoof")]
        assert (await edge.browser.get(HOST, edge.https_port, headers=spoof)).status == 200
        assert await edge.stop_sidecar() == 0
        before = edge.upstream.requests
        page = await edge.browser.get(HOST, edge.https_port, headers=spoof)
        assert page.status == 503
        assert page.body == b"The service is not available at the moment.\n"
        assert page.header("retry-after") == "5"
        plain = await edge.browser.get_plain(HOST, edge.http_port, headers=spoof)
        assert plain.status == 503
        assert edge.upstream.requests == before

        await edge.start_sidecar()
        assert (await edge.browser.get(HOST, edge.https_port)).status == 200


async def test_a_deleted_domain_is_refused_on_a_connection_that_is_still_open(edge, eventually):
    await edge.add_default_certificate()
    domain = await edge.add_domain(await edge.add_tenant(SLUG), "shop.test")
    async with edges.serve(edge):
        context = ssl.create_default_context(cadata=edge.pki.root_pem)
        reader, writer = await asyncio.open_connection(
            LOOPBACK, edge.https_port, ssl=context, server_hostname="shop.test"
        )

        async def status() -> int:
            writer.write(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            top = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(top.partition("content-length: ")[2].split()[0]))
            return int(top.split()[1])

        assert await status() == 200
        await edge.delete_domain(domain)

        async def refused() -> bool:
            return await status() == 404

        await eventually(refused, timeout=2)
        with pytest.raises(HandshakeRefused):
            await edge.browser.get("shop.test", edge.https_port)
        writer.transport.abort()


def without_checks(text: str) -> str:
    configuration = yaml.safe_load(text)
    for listener in configuration["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"] = [each for each in manager["http_filters"] if "ext_authz" not in each["name"]]
        for host in manager["route_config"]["virtual_hosts"]:
            host.pop("typed_per_filter_config", None)
    return yaml.dump(configuration)


async def test_even_where_no_check_is_made_a_clients_tenant_does_not_arrive(edge):
    """As on a route that an operator exempts from ext_authz; and plain HTTP still has nowhere to go."""
    await edge.add_default_certificate()
    await edge.add_tenant(SLUG)
    spoof = [("x-tenant-id", "spoof"), ("x_tenant_id", "spoof"), ("x-nameplate-host", "spoof")]
    async with edges.serve(edge, without_checks):
        page = await edge.browser.get(HOST, edge.https_port, headers=spoof)
        assert page.status == 200
        assert "spoof" not in page.body.decode()
        assert "tenant" not in page.body.decode()
        assert (await edge.browser.get_plain(HOST, edge.http_port, headers=spoof)).status == 503
        assert edge.upstream.requests == 1


async def post_with_trailers(port: int, host: str, trust: str, trailers: list[tuple[str, str]]) -> str:
    """Over HTTP/2; the status."""
    context = ssl.create_default_context(cadata=trust)
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context, server_hostname=host)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        pseudo = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", host)]
        connection.send_headers(1, [*pseudo, ("x-tenant-id", "spoof"), ("te", "trailers")])
        connection.send_data(1, b"body")
        connection.send_headers(1, trailers, end_stream=True)
        writer.write(connection.data_to_send())
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[":status"]
                writer.write(connection.data_to_send())
        finally:
            writer.transport.abort()
    raise ConnectionError("no response")


async def test_a_tenant_in_the_trailers_does_not_arrive_either(edge):
    await edge.add_default_certificate()
    tenant = await edge.add_tenant(SLUG)
    seen: list[tuple[str, str]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Http2Upstream(seen), LOOPBACK, 0)
    async with server, edges.serve(edge, with_http2_upstream(server.sockets[0].getsockname()[1])):
        claims = [(claim, "spoof") for claim in ("x-tenant-id", "x-nameplate-host", "x-forwarded-client-cert")]
        trailers = [*claims, ("x-checksum", "kept")]
        assert await post_with_trailers(edge.https_port, HOST, edge.pki.root_pem, trailers) == "200"
    assert ("RequestReceived", f"x-tenant-id: {tenant}") in seen
    assert [field for kind, field in seen if kind == "TrailersReceived"] == ["x-checksum: kept"]
    assert not [field for _, field in seen if "spoof" in field]
