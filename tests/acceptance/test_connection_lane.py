"""envoy/connection.yaml: asked once a connection, and never a wrong answer for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from scenes import edge as edges
from scenes.edge import PLATFORM, TEMPLATE, Edge
from scenes.lanes import Http1, Http2, Http2Upstream, with_http2_upstream

from embedded.background import Background
from embedded.browser import HandshakeRefused
from embedded.database import Database
from embedded.envoy import Envoy
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.ports import LOOPBACK, free_port, free_ports
from embedded.vault_mount import VaultMount
from sidecar.xds.lease import LEASE

CONNECTION = TEMPLATE.with_name("connection.yaml")
OURS = ("x-tenant-id", "x-nameplate-host")
SPOOFS = (("x-tenant-id", "spoof"), ("X-Tenant-ID", "spoof"), ("x-nameplate-host", "spoof"), ("x_tenant_id", "spoof"))

Eventually = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Two Envoys on one sidecar. Tenant acme has shop.test and *.wild.test, zeta other.test."""

    request: Edge
    connection: Edge
    acme: str
    zeta: str

    @property
    def trust(self) -> str:
        return self.request.pki.root_pem


@pytest.fixture(scope="module")
def lanes(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Lanes]:
    home = session_dir / "lanes"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> Lanes:
        database = await database_template.copy("lanes")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "lanes")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        await edge.add_default_certificate()
        acme, zeta = await edge.add_tenant("acme"), await edge.add_tenant("zeta")
        await edge.add_domain(acme, "shop.test")
        await edge.add_domain(acme, "*.wild.test")
        await edge.add_domain(zeta, "other.test")
        await servers.enter_async_context(edges.serve(edge))
        lane = await servers.enter_async_context(edges.serve_also(edge, CONNECTION))
        return Lanes(edge, lane, str(acme), str(zeta))

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


@pytest.fixture
def edge(state_dir: Path, database: Database, vault_mount: VaultMount, pki: Pki) -> Edge:
    """One's own, with nothing in it and nothing running, for the connection lane."""
    edge = edges.create(state_dir, database, vault_mount, pki)
    edge.template = CONNECTION
    return edge


async def asked(edge: Edge) -> int:
    """Requests that the sidecar was asked about so far; the questions for connections are counted apart."""
    return sum(
        int(value)
        for name, value in (await edge.metrics()).items()
        if name.startswith("nameplate_checks_total") and "connection_" not in name
    )


@asynccontextmanager
async def both(edge: Edge, sni: str) -> AsyncIterator[tuple[Http1, Http2]]:
    """A connection of each kind, with a request on it that was not asked about."""
    trust = edge.pki.root_pem
    async with (
        Http1.connect(edge.https_port, sni, trust) as first,
        Http2.connect(edge.https_port, sni, trust) as second,
    ):
        before = await asked(edge)
        for connection in (first, second):
            assert (await connection.get(sni)).status == 200
        assert await asked(edge) == before
        yield first, second


async def has_its_list(edge: Edge, sni: str) -> bool:
    """Whether a request is let through unasked: Envoy has been told what has ended."""
    before = await asked(edge)
    async with Http1.connect(edge.https_port, sni, edge.pki.root_pem) as connection:
        assert (await connection.get(sni)).status == 200
    return await asked(edge) == before


async def test_a_request_of_a_connection_that_was_let_in_is_not_asked_about(lanes, eventually):
    await eventually(lambda: has_its_list(lanes.connection, "shop.test"))
    before = await asked(lanes.connection)
    async with both(lanes.connection, "shop.test") as connections:
        for connection in connections:
            for _ in range(20):
                seen = (await connection.get("shop.test")).seen(*OURS)
                assert seen == [("x-tenant-id", lanes.acme), ("x-nameplate-host", "shop.test")]
    assert await asked(lanes.connection) == before


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        ("shop.test", "shop.test"),
        ("shop.test", "SHOP.Test"),
        ("shop.test", "shop.test:8443"),
        ("shop.test", "shop.test."),
        ("SHOP.test", "shop.test"),
        ("shop.test", "other.test"),
        ("shop.test", "nobody.test"),
        ("shop.test", f"acme.{PLATFORM}"),
        ("shop.test", "192.0.2.1"),
        ("a.wild.test", "a.wild.test"),
        ("a.wild.test", "b.wild.test"),
        ("a.wild.test", "a.b.wild.test"),
        (f"acme.{PLATFORM}", f"acme.{PLATFORM}"),
        (f"acme.{PLATFORM}", f"zeta.{PLATFORM}"),
        (f"acme.{PLATFORM}", f"nobody.{PLATFORM}"),
        (f"acme.{PLATFORM}", "shop.test"),
        ("", f"acme.{PLATFORM}"),
        ("", "shop.test"),
        ("", "nobody.test"),
    ],
)
async def test_both_lanes_answer_alike(lanes, sni, host):
    request = "\r\n".join([f"GET /p HTTP/1.1\r\nHost: {host}", *(": ".join(each) for each in SPOOFS), "", ""])
    closing = request[:-2].encode() + b"Connection: close, x-tenant-id\r\n\r\n"
    answers = [
        _without_times(await lane.exchange(lane.https_port, closing, sni=sni))
        for lane in (lanes.request, lanes.connection)
    ]
    assert answers[0] == answers[1]
    assert "spoof" not in repr(answers)


def _without_times(raw: bytes) -> tuple[list[str], object]:
    top, _, body = raw.partition(b"\r\n\r\n")
    lines = sorted(line for line in top.decode().split("\r\n") if not line.startswith(("date:", "x-request-id:")))
    if not lines[0].startswith("HTTP/1.1 200") and b"{" not in body[:1]:
        return lines, body
    account = json.loads(body)
    account["headers"] = sorted(each for each in account["headers"] if each[0] != "x-request-id")
    return [line for line in lines if not line.startswith("content-length:")], account


@pytest.mark.parametrize("host", ["shop.test", "SHOP.test", "shop.test:1"])
async def test_a_tenant_made_up_by_the_client_never_arrives(lanes, host):
    """On the way that is not asked about, and on the one that is."""
    async with both(lanes.connection, "shop.test") as (first, second):
        for connection in (first, second):
            page = await connection.get(host, [(name.lower(), value) for name, value in SPOOFS])
            assert page.seen(*OURS, "x_tenant_id") == [("x-tenant-id", lanes.acme), ("x-nameplate-host", "shop.test")]


async def test_a_websocket_is_opened_with_the_connection_s_tenant(lanes):
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade, x-tenant-id"), ("x-tenant-id", "spoof")]
    async with Http1.connect(lanes.connection.https_port, "shop.test", lanes.trust) as connection:
        before = await asked(lanes.connection)
        answer = await connection.get("shop.test", [*upgrade, ("Sec-WebSocket-Version", "13")])
        assert answer.status == 101
        account = json.loads(await connection.reader.readline())
        assert [value for name, value in account["headers"] if name == "x-tenant-id"] == [lanes.acme]
        assert [value for name, value in account["headers"] if name == "connection"] == ["upgrade"]
        assert await asked(lanes.connection) == before


async def test_a_tenant_in_the_trailers_does_not_arrive(lanes):
    seen: list[tuple[str, str]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Http2Upstream(seen), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    claims = [(claim, "spoof") for claim in ("x-tenant-id", "x-nameplate-host", "x-forwarded-client-cert")]
    trailers = [*claims, ("x-checksum", "kept")]
    edge = replace(lanes.connection)
    edge.http_port, edge.https_port = free_ports(2)
    configuration = with_http2_upstream(port)(edges.envoy_configuration(edge, 0))
    async with (
        server,
        Envoy.start(edge.home, configuration, name="trailers"),
        Http2.connect(edge.https_port, "shop.test", lanes.trust) as connection,
    ):
        assert (await connection.get("shop.test", [("te", "trailers")], trailers=trailers)).status == 200
    assert ("RequestReceived", f"x-tenant-id: {lanes.acme}") in seen
    assert [field for kind, field in seen if kind == "TrailersReceived"] == ["x-checksum: kept"]


async def test_a_deleted_domain_is_refused_on_open_connections_and_its_next_tenant_is_served(lanes, eventually):
    edge, host = lanes.connection, "brief.test"
    domain = await edge.add_domain(lanes.acme, host)
    await eventually(lambda: is_served(edge, host))
    await eventually(lambda: has_its_list(edge, host))
    async with both(edge, host) as (one, two):
        await edge.delete_domain(domain)

        async def refused() -> bool:
            answers = [await connection.get(host) for connection in (one, two)]
            assert {answer.status for answer in answers} <= {200, 404}
            return all(
                answer.status == 404 and b"Domain not configured for this platform" in answer.body for answer in answers
            )

        await eventually(refused, timeout=2)
        with pytest.raises(HandshakeRefused):
            await edge.browser.get(host, edge.https_port)

        await edge.add_domain(lanes.zeta, host)
        await eventually(lambda: is_served(edge, host))
        # The new registration is not on the list: its connections are not even asked about.
        assert await has_its_list(edge, host)
        page = await edge.browser.get(host, edge.https_port)
        assert ["x-tenant-id", lanes.zeta] in page.json()["headers"]
        for connection in (one, two):
            assert (await connection.get(host)).seen("x-tenant-id") == [("x-tenant-id", lanes.zeta)]


async def is_served(edge: Edge, host: str) -> bool:
    try:
        return (await edge.browser.get(host, edge.https_port)).status == 200
    except HandshakeRefused:
        return False


async def test_a_tenant_s_slug_that_is_renamed_ends_open_connections_too(lanes, eventually):
    edge, host = lanes.connection, f"before.{PLATFORM}"
    tenant = await edge.add_tenant("before")
    await eventually(lambda: is_served(edge, host))
    await eventually(lambda: has_its_list(edge, host))
    async with both(edge, host) as (one, two):
        connection = await asyncpg.connect(edge.database.control_dsn)
        await connection.execute("UPDATE tenants SET slug = 'after' WHERE id = $1", tenant)
        await connection.close()

        async def refused() -> bool:
            return [(await connection.get(host)).status for connection in (one, two)] == [404, 404]

        await eventually(refused, timeout=2)


async def test_a_name_below_a_wildcard_that_another_tenant_brings_is_that_tenant_s_on_open_connections_too(
    lanes, eventually
):
    edge, host = lanes.connection, "brought.wild.test"
    await eventually(lambda: has_its_list(edge, "shop.test"))
    trust = edge.pki.root_pem
    async with (
        Http1.connect(edge.https_port, host, trust) as one,
        Http2.connect(edge.https_port, host, trust) as two,
    ):
        for connection in (one, two):
            assert (await connection.get(host)).seen("x-tenant-id") == [("x-tenant-id", lanes.acme)]
        await edge.add_domain(lanes.zeta, host)

        async def is_zeta_s() -> bool:
            answers = [await connection.get(host) for connection in (one, two)]
            return all(each.status == 200 and each.seen(*OURS)[0][1] == lanes.zeta for each in answers)

        await eventually(is_zeta_s, timeout=2)


async def test_while_the_sidecar_is_away_a_decision_lives_for_a_lease_and_what_ended_is_refused_afterwards(
    edge, eventually
):
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    gone, kept = "gone.test", "kept.test"
    domain = await edge.add_domain(tenant, gone)
    await edge.add_domain(tenant, kept)
    async with edges.serve(edge):
        await eventually(lambda: has_its_list(edge, kept))
        async with both(edge, gone) as to_gone, both(edge, kept) as to_kept:

            async def statuses(connections: tuple[Http1, Http2], host: str) -> list[int]:
                return [(await connection.get(host)).status for connection in connections]

            await edge.stop_sidecar()
            await edge.delete_domain(domain)
            assert await statuses(to_kept, kept) == await statuses(to_gone, gone) == [200, 200]

            # A new connection has no decision, and nobody can be asked.
            before = edge.upstream.requests
            page = await edge.browser.get(kept, edge.https_port, headers=[("x-tenant-id", "spoof")])
            assert (page.status, page.header("retry-after")) == (503, "5")
            assert edge.upstream.requests == before

            async def lease_is_over() -> bool:
                return await statuses(to_kept, kept) == await statuses(to_gone, gone) == [503, 503]

            await eventually(lease_is_over, timeout=LEASE + 2)
            await edge.start_sidecar()
            assert await statuses(to_gone, gone) == [404, 404]
            await eventually(lambda: has_its_list(edge, kept))
            before = await asked(edge)
            assert await statuses(to_kept, kept) == [200, 200]
            assert await asked(edge) == before, "a connection keeps its decision"
            assert await statuses(to_gone, gone) == [404, 404]


async def test_a_sidecar_that_cannot_know_what_ended_is_asked_about_every_request(edge, eventually):
    """Started from its snapshot, without PostgreSQL."""
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    host = f"acme.{PLATFORM}"
    await edge.start_sidecar()
    await edge.stop_sidecar()
    edge.environment["NAMEPLATE_SIDECAR_DATABASE_URL"] = f"postgresql://nobody@{LOOPBACK}:{free_port()}/nothing"
    async with edges.serve(edge), Http1.connect(edge.https_port, host, edge.pki.root_pem) as connection:
        for _ in range(3):
            before = await asked(edge)
            assert (await connection.get(host)).status == 200
            assert await asked(edge) == before + 1


async def test_envoy_starts_without_a_sidecar_and_lets_nothing_through(edge):
    edge.http_port, edge.https_port = free_ports(2)
    async with Envoy.start(edge.home, edges.envoy_configuration(edge, free_port())) as envoy:
        listeners = await envoy.stats("listener_manager.total_listeners")
        assert listeners["listener_manager.total_listeners_active"] == 2
        assert listeners["listener_manager.total_listeners_warming"] == 0
        assert (await edge.browser.get_plain("any.test", edge.http_port)).status == 503
