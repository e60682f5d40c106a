"""Knot and Unbound as the tests use them."""

import re
from pathlib import Path

import dns.message
import dns.name
import dns.update
import pytest
from dns.asyncquery import tcp
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from control.dns.update import tsig_key
from embedded import debian
from embedded.dns import DnsServer
from embedded.knot import ALGORITHM, KnotZone
from embedded.process import ServerFailed, run
from embedded.unbound import Unbound

ZONE = "acme.platform.test"
DOCUMENT = Path(__file__).parents[3] / "docs" / "dns-01.md"


pytestmark = pytest.mark.usefixtures("dns_packages")


async def ask(port, name, rdtype):
    return await tcp(dns.message.make_query(f"{name}.", rdtype), "127.0.0.1", port=port, timeout=30)


async def update(knot, name, rdtype, value):
    key = tsig_key(knot.key.name, knot.key.secret, ALGORITHM)
    message = dns.update.UpdateMessage(ZONE, keyring={key.name: key}, keyname=key.name)
    message.add(dns.name.from_text(name), 1, rdtype, value)
    return (await tcp(message, "127.0.0.1", port=knot.primary.port, timeout=30)).rcode()


async def test_secondaries_have_the_zone_at_the_start_and_its_changes_afterwards(state_dir, eventually):
    async with KnotZone.start(state_dir, ZONE, secondaries=2, records=["hello TXT world"]) as knot:
        assert len(knot.addresses) == 3
        for one in (knot.primary, *knot.secondaries):
            assert (await ask(one.port, f"hello.{ZONE}", "TXT")).answer
        assert await update(knot, f"new.{ZONE}", "TXT", "value") == Rcode.NOERROR
        for one in knot.secondaries:
            await eventually(lambda one=one: has(one, f"new.{ZONE}"), timeout=30)


async def has(server, name):
    return bool((await ask(server.port, name, "TXT")).answer)


async def test_a_secondary_that_does_not_follow_copies_when_it_is_asked_to(state_dir, eventually):
    async with KnotZone.start(state_dir, ZONE, secondaries=1, follow=False) as knot:
        assert await update(knot, f"new.{ZONE}", "TXT", "value") == Rcode.NOERROR
        assert await has(knot.primary, f"new.{ZONE}")
        assert not await has(knot.secondaries[0], f"new.{ZONE}")
        await knot.refresh()
        await eventually(lambda: has(knot.secondaries[0], f"new.{ZONE}"), timeout=30)


async def test_the_key_changes_txt_records_below_the_top_and_nothing_else(state_dir):
    async with KnotZone.start(state_dir, ZONE) as knot:
        assert await update(knot, f"a.{ZONE}", "TXT", "value") == Rcode.NOERROR
        for name, rdtype, value in [
            (f"a.{ZONE}", "A", "192.0.2.1"),
            (f"a.{ZONE}", "NS", "ns.elsewhere.test."),
            (ZONE, "TXT", "value"),
        ]:
            with pytest.raises(dns.tsig.PeerBadKey):
                await update(knot, name, rdtype, value)


async def test_the_documented_configuration_is_one(state_dir):
    (configuration,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert "update-type: TXT" in configuration
    path = state_dir / "knot.conf"
    command = [debian.require("knot", "knotc"), "-c", path, "conf-check"]
    path.write_text(configuration)
    assert "valid" in await run(command, env=debian.environment("knot"))
    path.write_text(configuration.replace("update-type: TXT", "update-type: NONE"))
    with pytest.raises(ServerFailed):
        await run(command, env=debian.environment("knot"))


async def test_nobody_else_can_read_the_keys(state_dir):
    async with KnotZone.start(state_dir, ZONE) as knot:
        assert (knot.primary.home / "knot.conf").stat().st_mode & 0o077 == 0
        assert knot.key.secret not in repr(knot)


async def test_the_resolver_follows_a_cname_from_one_zone_into_another(state_dir, dns_zone):
    dns_zone.add("alias", "CNAME", f"hello.{ZONE}.")
    async with KnotZone.start(state_dir, ZONE, records=["hello TXT world"]) as knot, DnsServer.start() as lame:
        zones = {dns_zone.origin: [dns_zone.server.address], ZONE: knot.addresses, "lame.test": [lame.address]}
        async with Unbound.start(state_dir, zones) as unbound:
            answer = await ask(unbound.port, dns_zone.full("alias"), "TXT")
            assert [rrset.rdtype for rrset in answer.answer] == [RdataType.CNAME, RdataType.TXT]
            assert (await ask(unbound.port, f"nothing.{ZONE}", "TXT")).rcode() == Rcode.NXDOMAIN
            assert (await ask(unbound.port, "name.lame.test", "TXT")).rcode() == Rcode.SERVFAIL
            dns_zone.replace("alias", "CNAME", f"nothing.{ZONE}.")
            assert (await ask(unbound.port, dns_zone.full("alias"), "TXT")).rcode() == Rcode.NXDOMAIN, "nothing is kept"


def test_what_starts_a_service_is_not_installed_but_unpacked():
    assert set(debian.PACKAGES) >= debian.UNPACKED_ONLY
    assert debian.require("knot", "knotd").name == "knotd"
