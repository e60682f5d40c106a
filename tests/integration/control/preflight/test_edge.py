"""The probe through a real Envoy and its sidecar, on PostgreSQL: what production does."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scenes import edge as edges
from scenes.preflight import V4

from control.preflight.probe import Prober, ProbeToken
from control.preflight.tokens import ProbeTokens


@pytest.fixture
def edge(state_dir, database, vault_mount, pki):
    return edges.create(state_dir, database, vault_mount, pki)


async def test_a_token_is_found_through_envoy_at_once_and_is_gone_afterwards(edge, pool):
    tenant = await edge.add_tenant("acme")
    domain_id = await edge.add_pending_domain(tenant, "shop.mybrand.test")
    here = ip_address(V4)
    async with edges.serve(edge):
        prober = Prober([here], 10.0, port=edge.http_port, https_port=edge.https_port)
        async with ProbeTokens(pool).published(domain_id) as token:
            found = await prober.probe(here, "shop.mybrand.test", token)
            assert (found.result, found.status) == ("answered", 200), found
        other = await prober.probe(here, "shop.mybrand.test", ProbeToken.random())
        assert (other.result, other.status) == ("wrong_answer", 404), other
