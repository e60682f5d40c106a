"""Looks at `_acme-challenge.<host>` through real resolvers: what is right there, and each way to get it wrong."""

from functools import partial

import pytest
from dns.rcode import Rcode
from scenes import domains
from scenes.domains import DOMAIN, NOW

from control.dns.delegation import CODES, EXPLANATIONS, Delegation
from control.dns.resolver import Resolver
from control.dns.verdict import FAILURE_CODES
from core.domain import Finding
from embedded.dns import DnsServer, Fault
from embedded.unbound import Unbound

ZONE = "acme.platform.test"
LABEL = DOMAIN.acme_label
EXPECTED = f"{LABEL}.{ZONE}"

domain = partial(domains.domain, status="verified")


async def look(hostname: str, *servers: DnsServer | Unbound, timeout: float = 5.0) -> Finding:
    resolvers = [Resolver("127.0.0.1", server.port, timeout) for server in servers]
    return await Delegation(resolvers, ZONE, lambda: NOW, timeout * 2).look(domain(hostname))


@pytest.fixture
async def second(dns_zone):
    """Another server with the same zone, and a state of its own."""
    async with DnsServer.start() as server:
        server.add_zone(dns_zone.origin)
        yield server


@pytest.mark.parametrize("prefix", ["", "*."])
async def test_the_cname_is_right_for_a_name_and_for_its_wildcard(dns_zone, prefix):
    dns_zone.add("_acme-challenge.shop", "CNAME", f"{EXPECTED}.")
    found = await look(prefix + dns_zone.full("shop"), dns_zone.server)
    assert (found.code, found.who, found.at) == ("delegation_found", "nobody", NOW)
    assert found.detail["expected"] == EXPECTED
    assert found.detail["found"] == [EXPECTED]
    assert Finding.from_json(found.to_json()) == found


async def test_letters_and_links_between_make_no_difference(dns_zone):
    dns_zone.add("_acme-challenge.shop", "CNAME", f"alias.{dns_zone.origin}.")
    dns_zone.add("alias", "CNAME", f"{EXPECTED.upper()}.")
    assert (await look(dns_zone.full("shop"), dns_zone.server)).code == "delegation_found"


async def test_nothing_there_is_told(dns_zone):
    hostname = dns_zone.full("shop")
    missing = await look(hostname, dns_zone.server)
    assert (missing.code, missing.who, missing.detail["found"]) == ("delegation_missing", "tenant", [])
    assert f"_acme-challenge.{hostname}" in missing.message and EXPECTED in missing.message
    dns_zone.add("_acme-challenge.shop", "A", "192.0.2.1")
    assert (await look(hostname, dns_zone.server)).code == "delegation_missing"


async def test_a_cname_elsewhere_is_told_with_where_it_leads(dns_zone):
    dns_zone.add("_acme-challenge.shop", "CNAME", "ffffffffffffffffffffffffffffffff.acme.platform.test.")
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert (found.code, found.who) == ("delegation_elsewhere", "tenant")
    assert found.detail["found"] == ["ffffffffffffffffffffffffffffffff.acme.platform.test"]


async def test_a_wildcard_in_the_tenants_zone_that_catches_the_name_is_elsewhere(dns_zone):
    dns_zone.add("*", "CNAME", "custom.platform.test.")
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert found.code == "delegation_elsewhere"


async def test_a_txt_record_that_hides_the_delegation_is_shown(dns_zone):
    dns_zone.add("_acme-challenge.shop", "TXT", "left-by-another-client")
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert (found.code, found.who) == ("delegation_hidden", "tenant")
    assert found.detail["found"] == ["left-by-another-client"]


async def test_a_txt_record_behind_the_delegation_hides_nothing(dns_zone, dns_server, number):
    dns_zone.add("_acme-challenge.shop", "CNAME", f"{LABEL}.{dns_zone.origin}.")
    dns_zone.add(LABEL, "TXT", "an-answer")
    resolver = Resolver("127.0.0.1", dns_server.port)
    found = await Delegation([resolver], dns_zone.origin, lambda: NOW).look(domain(dns_zone.full("shop")))
    assert found.code == "delegation_found"


async def test_resolvers_that_do_not_agree_yet(dns_zone, second):
    dns_zone.add("_acme-challenge.shop", "CNAME", f"{EXPECTED}.")
    found = await look(dns_zone.full("shop"), dns_zone.server, second)
    assert (found.code, found.who) == ("delegation_propagating", "nobody")
    assert sorted(found.detail["resolvers"].values()) == ["found", "missing"]


async def test_a_resolver_that_cannot_tell_does_not_count(dns_zone, second):
    dns_zone.add("_acme-challenge.shop", "CNAME", f"{EXPECTED}.")
    second.fail(dns_zone.full("_acme-challenge.shop"), Fault(rcode=Rcode.SERVFAIL))
    assert (await look(dns_zone.full("shop"), dns_zone.server, second)).code == "delegation_found"


@pytest.mark.parametrize(
    ("fault", "code", "who"),
    [
        (Fault(rcode=Rcode.SERVFAIL), "dns_servfail", "tenant"),
        (Fault(rcode=Rcode.REFUSED), "dns_refused", "operator"),
        (Fault(drop=True), "dns_timeout", "operator"),
    ],
)
async def test_a_failure_is_named(dns_zone, fault, code, who):
    dns_zone.server.fail(dns_zone.full("_acme-challenge.shop"), fault)
    found = await look(dns_zone.full("shop"), dns_zone.server, timeout=0.2)
    assert (found.code, found.who) == (code, who)


async def test_a_platform_zone_that_cannot_be_resolved_is_the_operators(dns_zone, state_dir, dns_packages):
    """A real resolver says SERVFAIL then, and no word of the tenant's CNAME, which is right."""
    dns_zone.add("_acme-challenge.shop", "CNAME", f"{EXPECTED}.")
    async with DnsServer.start() as lame:
        zones = {dns_zone.origin: [dns_zone.server.address], ZONE: [lame.address]}
        async with Unbound.start(state_dir, zones) as resolver:
            found = await look(dns_zone.full("shop"), resolver)
    assert (found.code, found.who, found.detail["found"]) == ("delegation_zone_broken", "operator", [EXPECTED])


async def test_a_name_without_room_for_the_label_is_never_asked(dns_zone):
    long = ".".join(["a" * 60] * 4)[: 253 - len(dns_zone.origin) - 1] + f".{dns_zone.origin}"
    found = await look(long, dns_zone.server)
    assert (found.code, found.who) == ("delegation_name_too_long", "tenant")


async def test_no_resolver_is_refused():
    with pytest.raises(ValueError, match="no resolver"):
        Delegation([], ZONE, lambda: NOW)


def test_every_code_has_a_sentence():
    assert {*CODES.values(), *map(str, FAILURE_CODES.values())} <= EXPLANATIONS.keys()
