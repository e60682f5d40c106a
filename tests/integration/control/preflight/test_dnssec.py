"""Names that cannot be resolved, and who is to blame."""

from __future__ import annotations

import asyncio

import pytest
from dns.edns import EDECode
from dns.rcode import Rcode
from scenes.preflight import FACTS, HOST, NOW, OWN_TARGET, TOKEN, V4, ZONE, codes, domain, of

from embedded.dns import Fault

BROKEN = Fault(rcode=Rcode.SERVFAIL, checked=True)


async def test_a_name_that_resolves_only_with_checking_disabled_has_broken_signatures(scene):
    scene.dns.add(HOST, "A", V4)
    scene.dns.fail(HOST, BROKEN)
    report = await scene.examine()
    finding = report.finding(NOW)
    assert (finding.code, finding.who, finding.detail["check"]) == ("dnssec_bogus", "tenant", "dnssec")
    assert HOST in finding.message
    assert finding.detail["found"][f"{HOST} A"] == {scene.dns.address: "servfail"}
    assert finding.detail["found"]["checking disabled"] == {scene.dns.address: "found"}


@pytest.mark.parametrize("error", [EDECode.DNSSEC_BOGUS, EDECode.SIGNATURE_EXPIRED, EDECode.DNSKEY_MISSING])
async def test_a_resolver_may_say_so_itself(scene, error):
    scene.dns.fail(HOST, Fault(rcode=Rcode.SERVFAIL, error=error))
    check = of(await scene.examine(), "dnssec")
    assert check.code == "dnssec_bogus"
    assert check.found[f"{HOST} A"] == {scene.dns.address: f"servfail: {error.name.lower()}"}


async def test_broken_signatures_of_the_parent_are_found_by_its_caa_question(scene):
    scene.dns.add(HOST, "A", V4)
    scene.dns.fail(f"brand.{ZONE}", BROKEN)
    finding = (await scene.examine()).finding(NOW)
    assert finding.code == "dnssec_bogus"
    assert finding.message.startswith(f"The DNSSEC signatures of brand.{ZONE} do not hold")


async def test_one_resolver_that_validates_is_enough(scene, second):
    scene.dns.add(HOST, "A", V4)
    second.fail(HOST, BROKEN)
    second.add(HOST, "A", V4)
    assert codes(await scene.examine(second))["dnssec"] == "dnssec_bogus"


async def test_a_servfail_with_checking_disabled_too_is_not_dnssecs(scene):
    scene.dns.fail(HOST, Fault(rcode=Rcode.SERVFAIL, error=EDECode.NO_REACHABLE_AUTHORITY))
    report = await scene.examine()
    check = of(report, "dnssec")
    assert (check.code, check.blocking, check.who) == ("dns_servfail", True, "tenant")
    assert check.found[f"{HOST} A"] == {scene.dns.address: "servfail: no_reachable_authority"}
    assert codes(report)["addresses"] == "addresses_unknown"
    assert report.finding(NOW).code == "dns_servfail"


async def test_a_resolver_that_names_another_cause_is_believed(scene):
    """It may answer with checking disabled only because it tried again."""
    scene.dns.fail(HOST, Fault(rcode=Rcode.SERVFAIL, error=EDECode.NETWORK_ERROR, checked=True))
    assert codes(await scene.examine())["dnssec"] == "dns_servfail"


async def test_a_name_server_that_fails_on_aaaa_alone_blocks_nothing(scene):
    scene.dns.add(HOST, "A", V4)
    scene.dns.fail(HOST, Fault(rcode=Rcode.SERVFAIL), "AAAA")
    report = await scene.examine()
    assert report.ok
    assert codes(report)["dnssec"] == "dns_partly_failing"
    assert codes(report)["addresses"] == "addresses_here"


async def test_name_servers_that_are_silent_are_the_tenants_when_other_names_resolve(scene):
    scene.dns.fail(HOST, Fault(drop=True))
    report = await scene.examine(timeout=0.4)
    check = of(report, "dnssec")
    assert (check.code, check.blocking, check.who) == ("dns_silent", True, "tenant")


@pytest.mark.parametrize("fault", [Fault(drop=True, first=2), Fault(rcode=Rcode.SERVFAIL, first=1)])
async def test_a_trouble_that_passes_at_the_second_try_blocks_nothing(scene, fault):
    """As when name servers start anew."""
    scene.dns.add(HOST, "A", V4)
    scene.dns.fail(HOST, fault)
    preflight = scene.preflight(timeout=1.0, dns_within=1.5)
    report = await preflight.examine(domain(), FACTS, challenge="http-01", token=None)
    assert report.ok, report.blocking
    assert codes(report)["dnssec"] == "dns_partly_failing"
    assert codes(report)["caa"] == "caa_permits"


async def test_resolvers_that_are_silent_about_everything_block_nobody(scene):
    for name in (HOST, f"brand.{ZONE}", ZONE, OWN_TARGET):
        scene.dns.fail(name, Fault(drop=True))
    report = await scene.examine(timeout=0.1)
    assert codes(report) == {
        "dnssec": "resolvers_silent",
        "addresses": "addresses_unknown",
        "port80": "port80_untried",
        "caa": "caa_unknown",
    }
    assert report.ok
    assert report.usable == [one.directory_url for one in FACTS]


async def test_an_examination_ends_within_its_bounds_whatever_the_resolvers_do(scene):
    for name in (HOST, f"brand.{ZONE}", ZONE, OWN_TARGET):
        scene.dns.fail(name, Fault(drop=True))
    preflight = scene.preflight(timeout=3600.0, dns_within=0.2, next_within=0.2)
    async with asyncio.timeout(30):
        report = await preflight.examine(domain(), FACTS, challenge="http-01", token=TOKEN)
    assert codes(report)["dnssec"] == "resolvers_silent"


async def test_questions_are_put_at_the_same_time(scene, second, eventually):
    """No resolver answers before all questions were put to all."""
    names = (HOST, f"brand.{ZONE}", ZONE, OWN_TARGET)
    for server in (scene.dns, second):
        for name in names:
            server.fail(name, Fault(drop=True))
    preflight = scene.preflight(second, timeout=60.0, dns_within=60.0)
    task = asyncio.create_task(preflight.examine(domain(), FACTS, challenge="http-01", token=TOKEN))
    asked = [(HOST, "A"), (HOST, "AAAA"), (OWN_TARGET, "A"), *((name, "CAA") for name in names[:3])]
    await eventually(lambda: all(s.query_count(*one) == 1 for s in (scene.dns, second) for one in asked))
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_name_with_as_many_labels_as_dns_allows_is_examined(scene):
    name = ".".join(["a"] * 121) + f".{ZONE}"
    scene.dns.add(name, "A", V4)
    report = await scene.examine(domain=domain(name))
    assert report.ok, report.blocking
    assert scene.dns.query_count(ZONE, "CAA")
