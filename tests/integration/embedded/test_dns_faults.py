"""Faults that a validating resolver shows: what is wrong is said, and whoever disables checking is spared."""

from __future__ import annotations

import dns.name
import pytest
from dns.edns import EDECode
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from control.dns.outcome import Answer, ServFail
from control.dns.resolver import Resolver
from embedded.dns import Fault


@pytest.fixture
def ask(dns_zone):
    dns_zone.add("a", "TXT", "value")
    resolver = Resolver("127.0.0.1", dns_zone.server.port)

    async def ask(**arguments):
        return await resolver.ask(dns.name.from_text(dns_zone.full("a")), RdataType.TXT, 5.0, **arguments)

    return ask


async def test_the_cause_of_a_servfail_is_told(dns_zone, ask):
    dns_zone.server.fail(dns_zone.full("a"), Fault(rcode=Rcode.SERVFAIL, error=EDECode.DNSSEC_BOGUS))
    assert await ask() == ServFail(f"127.0.0.1:{dns_zone.server.port}", "dnssec_bogus")


async def test_who_disables_checking_is_spared(dns_zone, ask):
    dns_zone.server.fail(dns_zone.full("a"), Fault(rcode=Rcode.SERVFAIL, checked=True))
    assert isinstance(await ask(), ServFail)
    assert isinstance(await ask(checking_disabled=True), Answer)
    dns_zone.server.fail(dns_zone.full("a"), Fault(rcode=Rcode.SERVFAIL))
    assert isinstance(await ask(checking_disabled=True), ServFail)


async def test_a_fault_may_pass_by_itself(dns_zone, ask):
    dns_zone.server.fail(dns_zone.full("a"), Fault(rcode=Rcode.SERVFAIL, first=2))
    assert [type(await ask()) for _ in range(3)] == [ServFail, ServFail, Answer]
