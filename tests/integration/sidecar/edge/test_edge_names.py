"""No client gets at a secret of the edge by calling it by its name."""

from __future__ import annotations

import pytest
from scenes import bare
from scenes.handshakes import openssl

HOST = "shop.mybrand.test"


@pytest.mark.parametrize("lane", ["request", "connection"])
async def test_a_server_name_that_is_the_name_of_a_secret_gets_no_certificate_and_is_asked_of_nobody(
    edge, eventually, lane
):
    tenant = await edge.add_tenant("acme")
    domain = await edge.add_domain(tenant, HOST)
    async with bare.serve(edge, lane) as served:
        await bare.eventually_is(eventually, served, HOST, "default")
        before = await served.metrics()
        for name in ("upstream/default", "upstream-ca/default", f"client-ca/{domain}", "UPSTREAM/default"):
            assert "BEGIN CERTIFICATE" not in await openssl(served.https_port, name)
        after = await served.metrics()
        answers = [sample for sample in after if sample.startswith("nameplate_secret_answers_total")]
        assert {name: after[name] for name in answers} == {name: before[name] for name in answers}
