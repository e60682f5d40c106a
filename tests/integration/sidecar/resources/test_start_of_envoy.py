"""An Envoy that starts from its bootstrap takes no connection before every service has been found to be healthy."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from scenes import bare
from scenes.edge import PLATFORM, Edge
from scenes.load import load
from scenes.plain_upstream import plain_upstream

from embedded.envoy import Envoy, HotRestart

SLOW = 0.3  # seconds until an upstream says that it is well
HEALTH = {"path": "/health", "intervalMs": 30_000, "timeoutMs": 5_000, "unhealthy": 1, "healthy": 1}
HOST = f"acme.{PLATFORM}"
FIRST = "a"  # before `default` in whichever order there is


@contextlib.asynccontextmanager
async def a_sidecar(edge: Edge, upstream: int) -> AsyncIterator[None]:
    """With two services, of which the one that is used answers to its health check after a while."""
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    bare.listening(edge)
    async with bare.rows(edge) as rows:
        await rows.service(FIRST, upstream)
        await rows.service("default", upstream, healthCheck=HEALTH)
    await edge.start_sidecar()
    try:
        yield
    finally:
        await edge.stop_sidecar()


async def test_from_its_first_connection_on_no_request_fails(edge):
    async with plain_upstream("ok", healthy_after=SLOW) as upstream, a_sidecar(edge, upstream):
        statuses: Counter[int | str] = Counter()

        async def visit() -> None:
            while statuses[200] < 20:
                try:
                    statuses[await bare.status_of(edge, HOST)] += 1
                except OSError:  # it does not listen yet, or the handshake is cut as the process is not ready
                    await asyncio.sleep(0.002)

        visitor = asyncio.create_task(visit())
        async with Envoy.start(edge.home, bare.bootstrap(edge)):
            await visitor
    assert set(statuses) - {bare.REFUSED} == {200}


async def test_while_it_is_restarted_hot_no_request_fails(edge, eventually):
    restarts = HotRestart(parent_shutdown=3)
    async with (
        plain_upstream("ok", healthy_after=SLOW) as upstream,
        a_sidecar(edge, upstream),
        Envoy.start(edge.home, bare.bootstrap(edge), drain_time=2, hot_restart=restarts) as envoy,
        load(edge.https_port, edge.pki.root_pem, [HOST], eventually, staying=0, coming=4) as visitors,
    ):
        await visitors.begin("restart")
        await envoy.restart_hot()
        await visitors.served(20)
        assert not visitors.failures("restart"), visitors.failures("restart")
