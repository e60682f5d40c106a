"""The delegation of the DNS challenge: D's look on real DNS, as a check of the pre-flight."""

from __future__ import annotations

import asyncio

import pytest
from dns.rcode import Rcode
from scenes.preflight import FACTS, HOST, NOW, PATIENCE, V4, codes, domain, of

from control.dns.delegation import Delegation
from control.dns.resolver import Resolver
from embedded.dns import Fault

NAME = f"_acme-challenge.{HOST}"
WANTED = f"{'a' * 32}.acme.platform.example"


def looking(scene, timeout):
    resolvers = [Resolver(V4, scene.dns.port, timeout)]
    return Delegation(resolvers, "acme.platform.example", lambda: NOW, timeout=2 * timeout).look


@pytest.fixture
def delegation(scene):
    return looking(scene, PATIENCE / 3)


async def delegated(scene, delegation, challenge="dns-01", host=HOST):
    return of(await scene.examine(delegation=delegation, challenge=challenge, domain=domain(host)), "delegation")


@pytest.mark.parametrize("host", [HOST, f"*.{HOST}"])
async def test_a_cname_to_our_name_passes(scene, delegation, host):
    scene.dns.add(NAME, "CNAME", WANTED + ".")
    check = await delegated(scene, delegation, host=host)
    assert (check.code, check.ok, check.blocking) == ("delegation_found", True, False)
    assert check.expected == {"name": NAME, "cname": WANTED}
    assert check.found["found"] == [WANTED]


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        (None, None, "delegation_missing"),
        ("CNAME", "elsewhere.example.", "delegation_elsewhere"),
        ("TXT", "left-by-another-client", "delegation_hidden"),
    ],
)
async def test_what_is_wrong_blocks_where_it_is_needed(scene, delegation, kind, value, code):
    scene.dns.add(HOST, "A", V4)
    if kind is not None:
        scene.dns.add(NAME, kind, value)
    report = await scene.examine(delegation=delegation, challenge="dns-01")
    check = of(report, "delegation")
    assert (check.code, check.ok, check.blocking, check.who) == (code, False, True, "tenant")
    assert report.finding(NOW).code == code
    without = await scene.examine(delegation=delegation, challenge="http-01")
    assert codes(without)["delegation"] == code
    assert without.ok


async def test_name_servers_that_fail_on_the_name_block(scene, delegation):
    scene.dns.fail(NAME, Fault(rcode=Rcode.SERVFAIL))
    check = await delegated(scene, delegation)
    assert (check.code, check.blocking) == ("dns_servfail", True)


async def test_trouble_of_our_own_resolvers_does_not(scene):
    scene.dns.fail(NAME, Fault(drop=True))
    check = await delegated(scene, looking(scene, 0.2))
    assert (check.code, check.ok, check.blocking) == ("dns_timeout", False, False)


async def test_a_look_that_takes_too_long_is_not_waited_for(scene):
    async def never(_domain):
        await asyncio.Event().wait()

    preflight = scene.preflight(delegation=never, dns_within=0.2, next_within=0.2)
    async with asyncio.timeout(30):
        report = await preflight.examine(domain(), FACTS, challenge="dns-01", token=None)
    check = of(report, "delegation")
    assert (check.code, check.blocking) == ("delegation_unknown", False)


async def test_without_a_zone_of_the_platform_there_is_no_such_check(scene):
    scene.dns.add(HOST, "A", V4)
    assert "delegation" not in codes(await scene.examine())
