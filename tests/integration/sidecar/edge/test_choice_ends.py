"""In the connection lane a connection that is open goes elsewhere as soon as its domain's service is another one."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import pytest
from scenes import bare

from embedded.ports import LOOPBACK
from embedded.upstream import Upstream

HOST = "shop.mybrand.test"


@pytest.mark.parametrize("of", ["tenant", "domain"])
async def test_an_open_connection_follows_the_choice_of_its_tenant_or_domain(edge, eventually, of):
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, HOST)
    chosen = domain if of == "domain" else None
    async with bare.serve(edge, "connection") as served, bare.rows(served) as rows, AsyncExitStack() as servers:
        upstream = await servers.enter_async_context(Upstream.start("shop"))
        await rows.service("shop", upstream.port)
        await bare.eventually_is(eventually, served, HOST, "default")
        context = bare.client_context(served.pki.root_pem)
        client = await servers.enter_async_context(httpx.AsyncClient(verify=context, trust_env=False))

        async def goes_to(wanted: str) -> bool:
            answer = await client.get(
                f"https://{LOOPBACK}:{served.https_port}/",
                headers={"Host": HOST},
                extensions={"sni_hostname": HOST},
            )
            opened.add(answer.extensions["network_stream"].get_extra_info("socket").getsockname())
            return answer.status_code == 200 and answer.json()["upstream"] == wanted

        opened: set[object] = set()
        assert await goes_to("default")
        await rows.choice(tenant, chosen, "shop")
        await eventually(lambda: goes_to("shop"), timeout=10)
        await rows.remove("service_choices", "tenant_id", tenant)
        await eventually(lambda: goes_to("default"), timeout=10)
        assert len(opened) == 1
