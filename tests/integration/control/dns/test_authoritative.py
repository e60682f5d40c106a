"""The wait for all servers of a zone, on real ones: a primary, and secondaries that copy it when the test says so."""

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest
from dns.rcode import Rcode

from control.dns.authoritative import Authoritative, Patience
from control.dns.resolver import Resolver
from control.dns.update import DnsUpdateError, Updater, tsig_key
from embedded.dns import DnsServer, Fault
from embedded.knot import ALGORITHM, KnotZone
from embedded.unbound import Unbound

ZONE = "acme.platform.test"
NAME = f"label.{ZONE}"
LONG = Patience(whole=60, silent=60)


def updater(knot: KnotZone) -> Updater:
    key = tsig_key(knot.key.name, knot.key.secret, ALGORITHM)
    return Updater(ZONE, Resolver.parse(knot.primary.address), lambda: key)


def authoritative(knot: KnotZone, patience: Patience = LONG) -> Authoritative:
    return Authoritative(ZONE, [], [Resolver.parse(address) for address in knot.addresses], patience)


async def late(waiting: Authoritative, *values: str) -> DnsUpdateError:
    with pytest.raises(DnsUpdateError) as caught:
        await waiting.wait(NAME, values)
    return caught.value


@pytest.fixture
async def lazy(state_dir, dns_packages):
    """A primary, and a secondary that copies it when it is told to."""
    async with KnotZone.start(state_dir, ZONE, secondaries=1, follow=False) as knot:
        yield knot


async def test_the_wait_ends_when_the_secondary_has_it_too(lazy, eventually):
    await updater(lazy).add(NAME, ["one", "two"])
    waiting = asyncio.create_task(authoritative(lazy).wait(NAME, ["one", "two"]))
    alone = Authoritative(ZONE, [], [Resolver.parse(lazy.primary.address)], LONG)
    await alone.wait(NAME, ["one", "two"])
    error = await late(authoritative(lazy, Patience(0.3, 0.3)), "one", "two")
    assert (error.code, error.who) == ("dns_not_propagated", "operator")
    assert lazy.secondaries[0].address in error.message
    assert lazy.primary.address not in error.message
    assert not waiting.done()
    await lazy.refresh()
    await asyncio.wait([waiting], timeout=60)
    assert waiting.done()
    await waiting


async def test_secondaries_that_follow_have_it_soon(state_dir, dns_packages):
    async with KnotZone.start(state_dir, ZONE, secondaries=2) as knot:
        await updater(knot).add(NAME, ["one"])
        await authoritative(knot).wait(NAME, ["one"])


async def test_one_of_two_values_is_not_enough(knot):
    await updater(knot).add(NAME, ["one"])
    await authoritative(knot).wait(NAME, ["one"])
    assert (await late(authoritative(knot, Patience(0.2, 0.2)), "one", "two")).code == "dns_not_propagated"


async def test_a_silent_server_is_left_out_after_a_while_and_a_stale_one_never(lazy, monkeypatch):
    monkeypatch.setattr("control.dns.authoritative.LOOK_TIMEOUT", 1.0)
    await updater(lazy).add(NAME, ["one"])
    lazy.secondaries[0].process.signal(signal.SIGSTOP)
    try:
        await authoritative(lazy, Patience(whole=60, silent=0.5)).wait(NAME, ["one"])
    finally:
        lazy.secondaries[0].process.signal(signal.SIGCONT)
    monkeypatch.undo()
    assert (await late(authoritative(lazy, Patience(whole=1, silent=60)), "one")).code == "dns_not_propagated"


async def test_a_dead_or_failing_server_is_left_out_as_resolvers_do(knot, ports):
    await updater(knot).add(NAME, ["one"])
    (dead,) = ports(1)
    async with DnsServer.start() as failing:
        failing.add_zone(ZONE)
        failing.fail(NAME, Fault(rcode=Rcode.SERVFAIL))
        addresses = [knot.primary.address, f"127.0.0.1:{dead}", failing.address]
        servers = [Resolver.parse(address) for address in addresses]
        await Authoritative(ZONE, [], servers, Patience(60, 0.1)).wait(NAME, ["one"])


async def test_servers_that_are_all_silent_are_told(ports):
    (dead,) = ports(1)
    error = await late(Authoritative(ZONE, [], [Resolver("127.0.0.1", dead)], Patience(60, 0.1)), "one")
    assert error.code == "dns_servers_silent"
    assert f"127.0.0.1:{dead}" in error.message


@asynccontextmanager
async def resolving(state_dir, knot):
    async with Unbound.start(state_dir, {ZONE: [knot.primary.address]}) as unbound:
        yield Resolver.parse(unbound.address)


async def test_servers_are_found_by_the_zones_records(knot, state_dir):
    await updater(knot).add(NAME, ["one"])
    async with resolving(state_dir, knot) as resolver:
        found = Authoritative(ZONE, [resolver], (), LONG, port=knot.primary.port)
        assert await found.servers() == (Resolver("127.0.0.1", knot.primary.port),)
        await found.wait(NAME, ["one"])


async def test_the_next_resolver_is_asked_for_them_when_the_first_cannot_tell(knot, state_dir, ports):
    (dead,) = ports(1)
    async with resolving(state_dir, knot) as resolver:
        found = Authoritative(ZONE, [Resolver("127.0.0.1", dead), resolver], (), LONG, port=knot.primary.port)
        assert await found.servers() == (Resolver("127.0.0.1", knot.primary.port),)


async def test_a_zone_without_servers_is_told(knot, state_dir):
    async with resolving(state_dir, knot) as resolver:
        nowhere = Authoritative("elsewhere.test", [resolver], (), LONG)
        assert (await late(nowhere, "one")).code == "dns_servers_unknown"
