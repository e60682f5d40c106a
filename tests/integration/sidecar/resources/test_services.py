"""Kinds of upstreams, each with a real one behind the Envoy of a bare bootstrap."""

from __future__ import annotations

import asyncio

from scenes import bare
from scenes.edge import PLATFORM
from scenes.lanes import Http1, Http2Upstream

from embedded.ports import LOOPBACK
from embedded.upstream import Upstream

HOST = f"acme.{PLATFORM}"


async def sent_to(edge, rows, tenant: str, service: str) -> str:
    await rows.choice(await edge.add_tenant(tenant), None, service)
    return f"{tenant}.{PLATFORM}"


async def leave(edge, rows, service: str, eventually) -> None:
    """Envoy goes on after the test: the service's own upstream must be out of its hands before it ends."""
    await rows.service(service, edge.upstream.port)

    async def is_left() -> bool:
        of = f"cluster.service/{service}."
        stats = await edge.envoy.stats(of)
        return (stats[of + "membership_total"], stats[of + "upstream_cx_active"]) == (1, 0)

    await eventually(is_left, timeout=15)


async def test_a_name_is_looked_up_and_one_that_nobody_knows_harms_no_other(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    async with bare.rows(edge) as rows, Upstream.start("named") as named:
        await rows.service("lost", addresses=[{"host": "nowhere.invalid", "port": 80}])
        await rows.service("named", addresses=[{"host": "localhost", "port": named.port}])
        lost, found = await sent_to(edge, rows, "lost", "lost"), await sent_to(edge, rows, "found", "named")
        async with bare.serve(edge):
            await bare.eventually_is(eventually, edge, HOST, "default")
            await bare.eventually_is(eventually, edge, found, "named")
            await bare.eventually_is(eventually, edge, lost, 503)


async def test_an_upstream_of_http_2_is_spoken_to_in_it(request_lane, eventually):
    edge = request_lane
    seen: list[tuple[str, str]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Http2Upstream(seen), LOOPBACK, 0)
    async with bare.rows(edge) as rows, server:
        await rows.service("two", server.sockets[0].getsockname()[1], protocol="http2")
        host = await sent_to(edge, rows, "two", "two")

        async def answered() -> bool:
            page = await edge.browser.get(HOST, edge.https_port)
            assert page.status == 200
            return await bare.status_of(edge, host) == 200 and bool(seen)

        await eventually(answered, timeout=15)
        headers = [line for _, line in seen]
        assert f":authority: {host}" in headers
        assert not [line for line in headers if "cluster" in line]
        await leave(edge, rows, "two", eventually)


async def test_an_address_that_fails_its_health_checks_gets_no_request(request_lane, eventually):
    edge = request_lane
    asked: list[bytes] = []

    async def ill(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 500 Ill\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(ill, LOOPBACK, 0)
    async with bare.rows(edge) as rows, Upstream.start("well") as well, server:
        ports = (server.sockets[0].getsockname()[1], well.port)
        await rows.service(
            "well",
            addresses=[{"host": LOOPBACK, "port": port} for port in ports],
            healthCheck={"path": "/up", "intervalMs": 200, "timeoutMs": 1000, "unhealthy": 1, "healthy": 1},
        )
        host = await sent_to(edge, rows, "well", "well")
        await bare.eventually_is(eventually, edge, host, "well")
        assert {await bare.upstream_of(edge, host) for _ in range(10)} == {"well"}
        assert asked
        assert all(head.startswith(b"GET /up HTTP/1.1\r\nhost: 127.0.0.1\r\n") for head in asked), asked[0]
        await leave(edge, rows, "well", eventually)


async def test_an_envoy_keeps_what_it_has_while_its_sidecar_is_replaced(edge, eventually):
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    async with bare.serve(edge):
        await bare.eventually_is(eventually, edge, HOST, "default")
        before = await edge.envoy.stats()
        async with Http1.connect(edge.https_port, HOST, edge.pki.root_pem) as connection:
            assert (await connection.get(HOST)).status == 200
            assert await edge.stop_sidecar() == 0
            await edge.start_sidecar()

            async def connected() -> bool:
                return (await edge.envoy.stats())["control_plane.connected_state"] == 1

            await eventually(connected, timeout=15)
            assert (await connection.get(HOST)).status == 200
        after = await edge.envoy.stats()
        for name in ("cluster_manager.cluster_modified", "listener_manager.listener_modified"):
            assert after[name] == before[name]
        assert after["listener_manager.lds.update_success"] == before["listener_manager.lds.update_success"]
