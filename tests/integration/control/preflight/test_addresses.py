"""A and AAAA on real DNS, and port 80 behind each address on real HTTP."""

from __future__ import annotations

import pytest
from dns.rcode import Rcode
from scenes.preflight import HOST, NOW, OTHER, OWN_TARGET, TARGET, V4, V6, codes, domain, has_ipv6, of

from embedded.dns import Fault

ANOTHERS_TARGET = f"t-2.{TARGET}"


async def test_a_name_with_the_platforms_addresses_passes(scene):
    scene.dns.add(HOST, "A", V4)
    report = await scene.examine()
    assert codes(report) == {
        "dnssec": "dns_resolves",
        "addresses": "addresses_here",
        "port80": "port80_answers",
        "caa": "caa_permits",
    }
    assert report.ok
    assert report.finding(NOW) is None
    assert [(one.address, one.host) for one in scene.requests] == [(V4, HOST)]


@pytest.mark.parametrize("target", [OWN_TARGET, TARGET])
async def test_a_name_that_leads_to_the_target_by_cname_passes_whatever_addresses_that_has(scene, target):
    scene.dns.replace(target, "A", V4)
    scene.dns.add(HOST, "CNAME", target + ".")
    report = await scene.examine()
    assert codes(report)["addresses"] == "addresses_here"
    assert of(report, "addresses").found["cname"] == [target]
    assert report.ok


@pytest.mark.parametrize("challenge", ["http-01", "dns-01"])
async def test_a_name_that_leads_to_another_tenants_target_gets_no_certificate(scene, challenge):
    """Of whoever proved it earlier: all targets have the same addresses, so that a CA could not tell them apart."""
    scene.dns.replace(OWN_TARGET, "A", V4)
    scene.dns.replace(ANOTHERS_TARGET, "A", V4)
    scene.dns.add(HOST, "CNAME", ANOTHERS_TARGET + ".")
    check = of(await scene.examine(challenge=challenge), "addresses")
    assert (check.code, check.blocking, check.who) == ("addresses_at_other_tenant", True, "tenant")
    assert OWN_TARGET in check.message

    scene.dns.remove(ANOTHERS_TARGET)
    scene.dns.add(ANOTHERS_TARGET, "CNAME", OWN_TARGET + ".")
    assert codes(await scene.examine(challenge=challenge))["addresses"] == "addresses_here"


async def test_addresses_of_the_target_are_the_platforms_without_a_cname_too(scene):
    """As registrars flatten it (ALIAS, ANAME)."""
    scene.dns.replace(OWN_TARGET, "A", OTHER)
    scene.dns.add(HOST, "A", OTHER)
    assert codes(await scene.examine())["addresses"] == "addresses_here"


async def test_ipv6_that_leads_elsewhere_is_told_as_such(scene):
    scene.dns.add(HOST, "A", V4)
    scene.dns.add(HOST, "AAAA", "2001:db8::1")
    report = await scene.examine(ipv6=False)
    check = of(report, "addresses")
    assert (check.code, check.blocking, check.who) == ("ipv6_elsewhere", True, "tenant")
    assert check.message.endswith("remove it, since the platform has no IPv6.")
    assert (check.expected["AAAA"], check.found["AAAA"], check.found["A"]) == ([], ["2001:db8::1"], [V4])
    assert report.finding(NOW).code == "ipv6_elsewhere"


async def test_ipv6_at_the_platform_passes_as_well(scene):
    """Without IPv6 on this machine, the platform's own address cannot be reached, and that blocks no tenant."""
    scene.dns.add(HOST, "A", V4)
    scene.dns.add(HOST, "AAAA", V6)
    report = await scene.examine()
    assert report.ok
    assert codes(report)["addresses"] == "addresses_here"
    assert codes(report)["port80"] == ("port80_answers" if has_ipv6() else "port80_platform_unreachable")
    assert {one.address for one in scene.requests} == ({V4, V6} if has_ipv6() else {V4})


async def test_ipv4_that_leads_elsewhere_is_told_as_such(scene):
    scene.dns.add(HOST, "A", "192.0.2.7")
    scene.dns.add(HOST, "AAAA", V6)
    check = of(await scene.examine(), "addresses")
    assert (check.code, check.blocking) == ("ipv4_elsewhere", True)
    assert check.message.endswith(f"make it {V4}.")


async def test_addresses_elsewhere_name_what_to_do(scene):
    scene.dns.add(HOST, "A", "192.0.2.7")
    report = await scene.examine()
    finding = report.finding(NOW)
    assert (finding.code, finding.who) == ("addresses_elsewhere", "tenant")
    assert f"make it a CNAME to {OWN_TARGET} or, at an apex, A {V4} with AAAA {V6}" in finding.message
    assert finding.detail["found"]["A"] == ["192.0.2.7"]
    assert finding.detail["also"] == ["port80_address_forbidden"]
    assert of(report, "port80").found == {"192.0.2.7": {"result": "forbidden", "error": "documentation"}}


async def test_a_name_without_records_and_a_name_that_is_not_there_are_told_apart(scene):
    assert codes(await scene.examine())["addresses"] == "name_missing"
    scene.dns.add(HOST, "TXT", "hello")
    report = await scene.examine()
    assert codes(report) == {
        "dnssec": "dns_resolves",
        "addresses": "addresses_missing",
        "port80": "port80_untried",
        "caa": "caa_permits",
    }
    assert [one.code for one in report.blocking] == ["addresses_missing"]


async def test_resolvers_that_differ_mean_that_it_spreads_and_the_worst_decides(scene, second):
    scene.dns.add(HOST, "A", V4)
    second.add(HOST, "A", "192.0.2.7")
    check = of(await scene.examine(second), "addresses")
    assert (check.code, check.blocking, check.who) == ("addresses_propagating", True, "nobody")
    assert check.found["A"] == [V4, "192.0.2.7"]


async def test_a_name_that_is_still_missing_for_one_resolver_is_spreading(scene, second):
    scene.dns.add(HOST, "A", V4)
    check = of(await scene.examine(second), "addresses")
    assert (check.code, check.blocking) == ("addresses_propagating", True)
    assert check.found["resolvers"]["A"] == {scene.dns.address: "found", second.address: "nxdomain"}


async def test_a_resolver_that_fails_does_not_stand_in_the_way_of_one_that_answers(scene, second):
    scene.dns.add(HOST, "A", V4)
    second.fail(HOST, Fault(rcode=Rcode.REFUSED))
    report = await scene.examine(second)
    assert report.ok
    assert codes(report)["dnssec"] == "dns_partly_failing"


async def test_a_platform_without_addresses_in_dns_blocks_no_tenant(scene):
    scene.dns.remove(OWN_TARGET)
    scene.dns.add(HOST, "CNAME", OWN_TARGET + ".")
    report = await scene.examine()
    assert codes(report)["addresses"] == "platform_addresses_unknown"
    assert report.ok


async def test_without_a_token_port_80_is_left_out(scene):
    scene.dns.add(HOST, "A", V4)
    report = await scene.examine(token=None)
    assert "port80" not in codes(report)
    assert scene.requests == []


async def test_a_wildcard_is_not_asked_on_port_80_and_its_addresses_block_nothing(scene):
    scene.dns.add("*.brand.example", "A", "192.0.2.7")
    report = await scene.examine(domain=domain("*.brand.example"), challenge="dns-01")
    assert codes(report) == {"dnssec": "dns_resolves", "addresses": "addresses_elsewhere", "caa": "caa_permits"}
    assert report.ok
    assert scene.requests == []


async def test_for_a_dns_challenge_traffic_need_not_have_moved(scene):
    scene.dns.add(HOST, "A", "192.0.2.7")
    report = await scene.examine(challenge="dns-01")
    assert codes(report)["addresses"] == "addresses_elsewhere"
    assert report.ok
