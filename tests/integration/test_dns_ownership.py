"""A look at a hostname through real DNS servers: two of them where resolvers disagree."""

import asyncio
from functools import partial

import pytest
from dns.rcode import Rcode
from scenes import domains
from scenes.domains import DOMAIN, NOW

from control.dns.ownership import Look, Ownership
from control.dns.resolver import Resolver
from core.domain import Finding
from embedded.dns import DnsServer, Fault

TOKEN = "Abc123def456"
VALUE = f"verify-{TOKEN}"
PLATFORM_TARGET = "custom.platform.test"
LABEL = DOMAIN.target_label
TARGET = f"{LABEL}.{PLATFORM_TARGET}"

domain = partial(domains.domain, verification_token=TOKEN)


async def look(hostname: str, *servers: DnsServer, timeout: float = 0.3) -> Look:
    resolvers = [Resolver("127.0.0.1", server.port, timeout) for server in servers]
    return await Ownership(resolvers, PLATFORM_TARGET + ".", lambda: NOW).look(domain(hostname))


def summary(found: Look) -> tuple[str, str, str]:
    return found.verdict, found.finding.code, found.finding.who


@pytest.fixture
async def second(dns_zone):
    """Another server with the same zone, and a state of its own."""
    async with DnsServer.start() as server:
        server.add_zone(dns_zone.origin)
        yield server


async def test_the_record_proves_the_name(dns_zone):
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert summary(found) == ("proven_txt", "txt_found", "nobody")
    assert found.finding.at == NOW
    assert Finding.from_json(found.finding.to_json()) == found.finding


async def test_no_name_no_record_and_another_value_are_told_apart(dns_zone):
    hostname = dns_zone.full("shop")
    assert summary(await look(hostname, dns_zone.server)) == ("absent", "txt_name_missing", "tenant")
    dns_zone.add("_platform-verify.shop", "A", "192.0.2.1")
    assert summary(await look(hostname, dns_zone.server)) == ("absent", "txt_no_record", "tenant")
    dns_zone.add("_platform-verify.shop", "TXT", "verify-something-else")
    found = await look(hostname, dns_zone.server)
    assert summary(found) == ("absent", "txt_mismatch", "tenant")
    assert found.finding.detail["expected"] == VALUE
    assert found.finding.detail["found"] == ["verify-something-else"]


async def test_a_wildcard_is_proved_by_the_record_of_its_parent_and_by_no_cname(dns_zone):
    dns_zone.add("*.shop", "CNAME", TARGET + ".")
    dns_zone.add("shop", "CNAME", TARGET + ".")
    found = await look("*." + dns_zone.full("shop"), dns_zone.server)
    assert found.verdict == "absent"
    assert "cname" not in found.finding.detail
    dns_zone.remove("*.shop")
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    assert summary(await look("*." + dns_zone.full("shop"), dns_zone.server)) == ("proven_txt", "txt_found", "nobody")


async def test_a_chain_of_cnames_to_the_platform_proves_the_name(dns_zone):
    dns_zone.add("shop", "CNAME", dns_zone.full("edge") + ".")
    dns_zone.add("edge", "CNAME", f"{LABEL.upper()}.Custom.PLATFORM.test.")
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert summary(found) == ("proven_cname", "cname_at_platform", "nobody")
    assert found.finding.detail["cname"]["found"] == sorted([TARGET, dns_zone.full("edge")])


@pytest.mark.parametrize("left_behind", [PLATFORM_TARGET, f"t-{'f' * 20}.{PLATFORM_TARGET}"])
async def test_a_cname_to_the_platform_or_to_another_tenants_target_proves_nothing(dns_zone, left_behind):
    dns_zone.add("shop", "CNAME", left_behind + ".")
    found = await look(dns_zone.full("shop"), dns_zone.server)
    assert summary(found) == ("absent", "txt_name_missing", "tenant")
    assert found.finding.detail["cname"]["expected"] == TARGET
    assert found.finding.detail["cname"]["found"] == [left_behind]


async def test_a_name_too_long_for_the_record_is_proved_by_its_cname(dns_zone):
    labels = ".".join(["a" * 59] * 4)
    assert summary(await look(dns_zone.full(labels), dns_zone.server)) == ("absent", "txt_name_too_long", "tenant")
    dns_zone.add(labels, "CNAME", TARGET + ".")
    assert (await look(dns_zone.full(labels), dns_zone.server)).verdict == "proven_cname"


async def test_two_resolvers_that_disagree_mean_it_is_propagating(dns_zone, second):
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    found = await look(dns_zone.full("shop"), dns_zone.server, second)
    assert summary(found) == ("partial", "txt_propagating", "nobody")
    assert found.finding.detail["resolvers"] == {dns_zone.server.address: "found", second.address: "nxdomain"}
    second.add(dns_zone.full("_platform-verify.shop"), "TXT", VALUE)
    assert (await look(dns_zone.full("shop"), dns_zone.server, second)).verdict == "proven_txt"


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault(rcode=Rcode.SERVFAIL), "servfail"),
        (Fault(rcode=Rcode.REFUSED), "refused"),
        (Fault(drop=True), "timeout"),
    ],
)
async def test_a_resolver_that_fails_does_not_block_one_that_proves_it(dns_zone, second, fault, word):
    name = dns_zone.full("_platform-verify.shop")
    dns_zone.add("_platform-verify.shop", "TXT", VALUE)
    second.fail(name, fault)
    found = await look(dns_zone.full("shop"), second, dns_zone.server)
    assert found.verdict == "proven_txt"
    assert found.finding.detail["resolvers"] == {second.address: word, dns_zone.server.address: "found"}


@pytest.mark.parametrize(
    ("fault", "code", "who"),
    [
        (Fault(rcode=Rcode.SERVFAIL), "dns_servfail", "tenant"),
        (Fault(rcode=Rcode.REFUSED), "dns_refused", "operator"),
        (Fault(drop=True), "dns_timeout", "operator"),
    ],
)
async def test_failures_everywhere_are_told_apart_and_prove_nothing(dns_zone, fault, code, who):
    dns_zone.add("shop", "CNAME", TARGET + ".")
    dns_zone.server.fail(dns_zone.full("_platform-verify.shop"), fault)
    assert summary(await look(dns_zone.full("shop"), dns_zone.server)) == ("absent", code, who)


async def test_resolvers_are_asked_at_the_same_time(dns_zone, second, eventually):
    """Each would hold the other up if they were asked in turn: neither answers before both were asked."""
    name = dns_zone.full("_platform-verify.shop")
    for server in (dns_zone.server, second):
        server.fail(name, Fault(drop=True))
    task = asyncio.create_task(look(dns_zone.full("shop"), dns_zone.server, second, timeout=60.0))
    await eventually(lambda: all(server.query_count(name) == 1 for server in (dns_zone.server, second)))
    assert dns_zone.server.query_count(dns_zone.full("shop"), "A") == 1
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_look_ends_within_its_bound_whatever_the_resolvers_do(dns_zone):
    dns_zone.server.fail(dns_zone.full("_platform-verify.shop"), Fault(drop=True))
    dns_zone.server.fail(dns_zone.full("shop"), Fault(drop=True))
    resolver = Resolver("127.0.0.1", dns_zone.server.port, timeout=3600.0)
    ownership = Ownership([resolver], PLATFORM_TARGET, lambda: NOW, timeout=0.1)
    async with asyncio.timeout(30):
        found = await ownership.look(domain(dns_zone.full("shop")))
    assert found.finding.code == "dns_timeout"


def test_without_resolvers_nothing_can_be_looked_up():
    with pytest.raises(ValueError):
        Ownership([], PLATFORM_TARGET, lambda: NOW)
