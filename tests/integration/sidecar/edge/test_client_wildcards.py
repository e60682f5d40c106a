"""A wildcard that asks for client certificates, and the names below it that are somebody else's."""

from __future__ import annotations

from scenes.gate import OTHER, REFUSED, ROOT


async def test_who_visits_anothers_name_below_it_is_not_asked(gate, asked, becomes):
    """Not even for a moment: no certificate is refused there, and no connection is closed."""
    wildcard, domain = await gate.domain("*.below{}.test")
    zeta = await gate.edge.add_tenant(f"below-{next(gate.names)}")
    base = wildcard.removeprefix("*.")
    own = f"own.{base}"
    await gate.edge.add_domain(zeta, own)
    await becomes(own, OTHER.issue(), 200)
    async with gate.client(own, OTHER.issue()) as first, gate.client(own, OTHER.issue(), http2=True) as second:
        clients = (first, second)

        async def go_on() -> None:
            for client in clients:
                answer = await client.get(own)
                assert (answer.status_code, answer.headers.get("connection")) == (200, None)

        await go_on()
        await asked(f"a.{base}", domain)
        await becomes(f"a.{base}", ROOT.issue(), 200)
        for shown in (OTHER.issue(), ROOT.issue(), None):
            assert await gate.status(own, shown) == 200
            assert await gate.status(own.upper(), shown) == 200
        await go_on()
        await gate.ask_for(domain, OTHER)
        await becomes(f"a.{base}", OTHER.issue(), 200)
        await go_on()
        async with gate.control() as control:
            await control.delete(gate.caller, domain)
        await becomes(f"a.{base}", None, 200)
        await becomes(f"a.{base}", ROOT.issue(), 200)
        await go_on()
        assert [len(client.connections) for client in clients] == [1, 1]


async def test_a_name_that_comes_is_taken_out_of_it_and_one_that_goes_is_its_own_again(gate, asked, becomes):
    wildcard, domain = await gate.domain("*.later{}.test")
    zeta = await gate.edge.add_tenant(f"later-{next(gate.names)}")
    base = wildcard.removeprefix("*.")
    own, sibling = f"own.{base}", f"a.{base}"
    await asked(sibling, domain)
    await becomes(sibling, ROOT.issue(), 200)
    async with gate.client(sibling, ROOT.issue()) as client:
        assert await client.status(sibling) == 200
        registered = await gate.edge.add_domain(zeta, own)
        await becomes(own, OTHER.issue(), 200)
        assert await gate.status(sibling, OTHER.issue()) == REFUSED
        await gate.edge.delete_domain(registered)
        await becomes(own, OTHER.issue(), REFUSED)
        await becomes(own, ROOT.issue(), 200)
        assert await client.status(sibling) == 200
        assert len(client.connections) == 1, "another name's coming and going closes none of the wildcard's"


async def test_a_name_below_it_that_asks_itself_has_its_own_authorities(gate, asked, becomes):
    wildcard, domain = await gate.domain("*.both{}.test")
    base = wildcard.removeprefix("*.")
    own = f"own.{base}"
    below = await gate.edge.add_domain(gate.tenant, own)
    await becomes(own, OTHER.issue(), 200)
    await asked(f"a.{base}", domain)
    await asked(own, below, OTHER)
    await becomes(own, OTHER.issue(), 200)
    assert await gate.status(own, ROOT.issue()) == REFUSED
    await becomes(f"a.{base}", ROOT.issue(), 200)
    assert await gate.status(f"a.{base}", OTHER.issue()) == REFUSED
