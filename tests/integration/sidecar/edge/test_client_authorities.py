"""The authorities of a domain's clients: intermediate ones, and such that change under open connections."""

from __future__ import annotations

import pytest
from scenes.client_certificates import HOUR, NOW, Authority
from scenes.gate import MIDDLE, OTHER, REFUSED, ROOT


@pytest.mark.parametrize("http2", [False, True])
async def test_authorities_change_with_overlap_and_open_connections_follow(gate, asked, becomes, eventually, http2):
    host, domain = await gate.domain()
    old, new = ROOT.issue("CN=old"), OTHER.issue("CN=new")
    await asked(host, domain, ROOT)
    await becomes(host, old, 200)
    async with gate.client(host, old, http2=http2) as first:
        assert await first.status(host) == 200
        await gate.ask_for(domain, ROOT, OTHER)
        await becomes(host, new, 200)
        assert await first.status(host) == 200
        async with gate.client(host, new, http2=http2) as second:
            assert await second.status(host) == 200
            await gate.ask_for(domain, OTHER)
            await eventually(lambda: first.hears(host, 403))
            await becomes(host, old, REFUSED)
            assert await second.status(host) == 200
            assert len(second.connections) == 1


async def test_a_renewed_authority_is_the_same_to_its_clients(gate, asked, becomes):
    host, domain = await gate.domain()
    renewed = Authority.root("Root A", 1, since=NOW - HOUR)
    leaf = ROOT.issue()
    await asked(host, domain, ROOT)
    await becomes(host, leaf, 200)
    async with gate.client(host, leaf) as client:
        assert await client.status(host) == 200
        await gate.ask_for(domain, renewed, crls=[renewed.crl()])
        await becomes(host, OTHER.issue(), REFUSED)
        assert await client.status(host) == 200
    assert await gate.status(host, leaf) == 200


async def test_an_authority_may_be_an_intermediate_one_with_its_list_alone(gate, asked, becomes):
    host, domain = await gate.domain()
    dead = MIDDLE.issue()
    await asked(host, domain, MIDDLE, crls=[MIDDLE.crl(dead.serial)])
    await becomes(host, dead, REFUSED)
    await becomes(host, MIDDLE.issue(), 200)
    assert await gate.status(host, ROOT.issue()) == REFUSED
