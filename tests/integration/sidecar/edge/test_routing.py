"""Services that are new and chosen at once, under load, through a real Envoy: no request fails."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from scenes import bare

from embedded.upstream import Upstream

HOST = "shop.mybrand.test"


async def test_a_new_service_that_is_chosen_at_once_fails_no_request(edge, eventually):
    tenant = await edge.add_tenant("acme")
    await edge.add_domain(tenant, HOST)
    async with bare.serve(edge) as served, bare.rows(served) as rows, AsyncExitStack() as upstreams:
        names = [f"new-{number}" for number in range(5)]
        ports = {name: (await upstreams.enter_async_context(Upstream.start(name))).port for name in names}
        await bare.eventually_is(eventually, served, HOST, "default")
        seen: list[str | int] = []
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                seen.append(await bare.upstream_of(served, HOST))

        loading = asyncio.create_task(load())
        before = None
        for name in names:
            async with rows.connection.transaction():
                await rows.service(name, ports[name])
                await rows.choice(tenant, None, name)
            await eventually(lambda wanted=name: seen[-1:] == [wanted] or loading.done(), timeout=15)
            if before is not None:
                await rows.remove("services", "name", before)
            before = name
        stop.set()
        await loading
        assert set(seen) == {"default", *names}, seen
