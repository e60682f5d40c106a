"""An Envoy that knows nothing but its sidecar: started from envoy/bootstrap.yaml, configured over its stream."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from scenes.edge import TEMPLATE, Edge
from scenes.edges import EdgeRows

from embedded.browser import HandshakeRefused
from embedded.envoy import Envoy
from embedded.ports import LOOPBACK, free_ports
from embedded.upstream import Upstream
from sidecar.bootstrap import Bootstrap

REFUSED = "handshake refused"
BOOTSTRAP = TEMPLATE.with_name("bootstrap.yaml")


def bootstrap(edge: Edge, node_id: str = "edge", **changes: Any) -> str:
    wanted = Bootstrap(
        node_id=node_id,
        check=f"unix:{edge.home}/run/check.sock",
        xds=f"unix:{edge.home}/run/xds.sock",
        admin=f"{LOOPBACK}:0",
        max_clients=1000,
        **changes,
    )
    return wanted.render()


def listening(edge: Edge, lane: str = "request", **settings: str) -> None:
    """The sidecar's settings for Envoy's listeners, to be made before it is started."""
    edge.template = BOOTSTRAP
    edge.http_port, edge.https_port = free_ports(2)
    edge.environment |= {
        "NAMEPLATE_LANE": lane,
        "NAMEPLATE_LISTEN_ADDRESS": LOOPBACK,
        "NAMEPLATE_HTTP_PORT": str(edge.http_port),
        "NAMEPLATE_HTTPS_PORT": str(edge.https_port),
        "NAMEPLATE_ACCESS_LOG": str(edge.access_log),
        **settings,
    }


@asynccontextmanager
async def serve(edge: Edge, lane: str = "request", **settings: str) -> AsyncIterator[Edge]:
    """The sidecar, an upstream that is the service `default`, and Envoy, until the block ends."""
    listening(edge, lane, **settings)
    async with AsyncExitStack() as servers:
        edge.upstream = await servers.enter_async_context(Upstream.start("default"))
        async with rows(edge) as written:
            await written.service("default", edge.upstream.port)
        await edge.start_sidecar()
        servers.push_async_callback(edge.stop_sidecar)
        edge.envoy = await servers.enter_async_context(Envoy.start(edge.home, bootstrap(edge), drain_time=1))
        yield edge


@asynccontextmanager
async def rows(edge: Edge) -> AsyncIterator[EdgeRows]:
    """What operators and tenants would have control write."""
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        yield EdgeRows(connection)
    finally:
        await connection.close()


async def upstream_of(edge: Edge, host: str) -> str | int:
    """Which upstream answers for a host, or with what status Envoy does; REFUSED before there is a handshake."""
    try:
        page = await edge.browser.get(host, edge.https_port)
    except HandshakeRefused:
        return REFUSED
    return str(page.json()["upstream"]) if page.status == 200 else page.status


async def status_of(edge: Edge, host: str) -> int | str:
    """Envoy's or the upstream's; REFUSED before there is a handshake."""
    try:
        return (await edge.browser.get(host, edge.https_port)).status
    except HandshakeRefused:
        return REFUSED


def eventually_is(
    eventually: Callable[..., Awaitable[Any]], edge: Edge, host: str, wanted: str | int
) -> Awaitable[Any]:
    async def it_is() -> bool:
        return await upstream_of(edge, host) == wanted

    return eventually(it_is, timeout=15)


def client_context(trust: str, certificate: Path | None = None) -> ssl.SSLContext:
    """A client that may have a certificate: PEM, chain and key in one file."""
    context = ssl.create_default_context(cadata=trust)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
