"""RFC 2136 UPDATE, sent to the DNS server in this process and to the one that is a child process."""

import asyncio
import contextlib

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from dns.rcode import Rcode
from dns.update import UpdateMessage

from embedded.dns import DnsServer
from embedded.dns_process import DnsProcess
from embedded.process import ServerFailed, is_running

LOOPBACK = "127.0.0.1"


@pytest.fixture
async def server():
    """In this process, and edited by updates."""
    async with DnsServer.start(updates=True) as server:
        server.add_zone("mybrand.test")
        yield server


@pytest.fixture
async def child(state_dir):
    async with DnsProcess.start(state_dir, zones=["mybrand.test"]) as child:
        yield child


async def ask(server, name, rdtype):
    return await dns.asyncquery.udp(dns.message.make_query(name, rdtype), LOOPBACK, port=server.port, timeout=5)


async def texts(server, name, rdtype):
    return sorted(record.to_text() for rrset in (await ask(server, name, rdtype)).answer for record in rrset)


async def send(server, update, over=dns.asyncquery.tcp):
    return (await over(update, LOOPBACK, port=server.port, timeout=5)).rcode()


async def test_records_added_replaced_and_removed_in_a_child_are_seen_by_the_next_question(child):
    name = "_verify.shop.mybrand.test"
    await child.add(name, "TXT", "one")
    await child.add(name, "TXT", 'two "quoted" \\ words')
    assert len(await texts(child, name, "TXT")) == 2
    await child.replace(name, "TXT", "three")
    assert await texts(child, name, "TXT") == ['"three"']
    await child.replace("shop.mybrand.test", "CNAME", "custom.mybrand.test.")
    await child.replace("custom.mybrand.test", "A", "127.0.0.8", "127.0.0.9")
    assert await texts(child, "shop.mybrand.test", "A") == ["127.0.0.8", "127.0.0.9", "custom.mybrand.test."]
    await child.remove("custom.mybrand.test", "A")
    assert await texts(child, "shop.mybrand.test", "A") == ["custom.mybrand.test."]
    await child.remove(name)
    assert (await ask(child, name, "TXT")).rcode() == Rcode.NXDOMAIN
    await child.replace(name, "TXT")  # none: as remove


async def test_a_child_serves_a_zone_from_the_moment_it_is_added(child):
    with pytest.raises(KeyError):
        await child.add("company.test", "A", "127.0.0.1")
    assert (await ask(child, "company.test", "A")).rcode() == Rcode.REFUSED
    await child.add_zone("company.test")
    await child.add("company.test", "A", "127.0.0.1")
    await child.add_zone("company.test")  # stays as it is
    assert await texts(child, "company.test", "A") == ["127.0.0.1"]
    await child.add_zone("inner.company.test")
    await child.add("www.inner.company.test", "A", "127.0.0.2")
    answer = await ask(child, "nobody.inner.company.test", "A")
    assert answer.authority[0].name.to_text() == "inner.company.test."
    assert await texts(child, "www.inner.company.test", "A") == ["127.0.0.2"]


async def test_an_update_that_the_server_does_not_do_raises(child):
    with pytest.raises(ServerFailed, match="REFUSED"):
        await child.add("mybrand.test", "RRSIG", "A 8 2 1 20300101000000 20200101000000 1 mybrand.test. AAAA")
    await child.process.stop()
    with pytest.raises(ServerFailed, match="no answer"):
        await child.add("mybrand.test", "A", "127.0.0.1")


async def test_a_child_ends_with_its_block_by_sigterm_and_frees_its_port(state_dir):
    async with DnsProcess.start(state_dir, "names", zones=["mybrand.test"]) as child:
        _, idle = await asyncio.open_connection(LOOPBACK, child.port)  # a connection does not keep it
        assert is_running(child.process.pid)
    idle.close()
    assert child.process.returncode == 0
    assert (state_dir / "names.log").read_text() == ""
    async with DnsServer.start(child.port):
        pass


async def test_an_update_is_taken_over_udp_and_tcp(server):
    for over, address in ((dns.asyncquery.udp, "127.0.0.1"), (dns.asyncquery.tcp, "127.0.0.2")):
        update = UpdateMessage("mybrand.test")
        update.add("shop", 1, "A", address)
        assert await send(server, update, over) == Rcode.NOERROR
    assert await texts(server, "shop.mybrand.test", "A") == ["127.0.0.1", "127.0.0.2"]


async def test_an_update_is_refused_unless_updates_are_on():
    async with DnsServer.start() as server:
        server.add_zone("mybrand.test")
        update = UpdateMessage("mybrand.test")
        update.add("shop", 1, "A", "127.0.0.1")
        assert await send(server, update) == Rcode.REFUSED
        assert (await ask(server, "shop.mybrand.test", "A")).rcode() == Rcode.NXDOMAIN


async def test_a_zone_that_is_not_served_is_not_ours_to_update(server):
    for zone in ("company.test", "shop.mybrand.test", "test"):
        update = UpdateMessage(zone)
        update.add("a", 1, "A", "127.0.0.1")
        assert await send(server, update) == Rcode.NOTAUTH
    chaos = UpdateMessage("mybrand.test", rdclass="CH")
    assert await send(server, chaos) == Rcode.NOTAUTH


async def test_a_zone_without_room_for_the_name_of_its_server_is_not_created(server):
    for zone in (".", ".".join(["a" * 62] * 4) + "."):
        update = UpdateMessage(zone)
        update.add(zone, 1, "SOA", "ns.test. hostmaster.test. 1 1 1 1 1")
        assert await send(server, update) == Rcode.REFUSED
        assert (await ask(server, zone, "SOA")).rcode() == Rcode.REFUSED


async def test_a_name_outside_the_zone_is_not_in_the_zone_and_nothing_of_the_update_is_done(server):
    update = UpdateMessage("mybrand.test")
    update.add("shop", 1, "A", "127.0.0.1")
    update.add("shop.company.test.", 1, "A", "127.0.0.1")
    assert await send(server, update) == Rcode.NOTZONE
    assert (await ask(server, "shop.mybrand.test", "A")).rcode() == Rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("condition", "arguments", "rcode"),
    [
        ("present", ["www"], Rcode.NOERROR),
        ("present", ["www", "A"], Rcode.NOERROR),
        ("present", ["www", "A", "127.0.0.1"], Rcode.NOERROR),
        ("present", ["nobody"], Rcode.NXDOMAIN),
        ("present", ["www", "TXT"], Rcode.NXRRSET),
        ("present", ["www", "A", "127.0.0.2"], Rcode.NXRRSET),
        ("present", ["elsewhere.test."], Rcode.NOTZONE),
        ("absent", ["nobody"], Rcode.NOERROR),
        ("absent", ["www", "TXT"], Rcode.NOERROR),
        ("absent", ["www"], Rcode.YXDOMAIN),
        ("absent", ["www", "A"], Rcode.YXRRSET),
    ],
)
async def test_a_prerequisite_that_does_not_hold_stops_the_update(server, condition, arguments, rcode):
    server.add("www.mybrand.test", "A", "127.0.0.1")
    update = UpdateMessage("mybrand.test")
    getattr(update, condition)(*arguments)
    update.add("shop", 1, "A", "127.0.0.1")
    assert await send(server, update) == rcode
    assert bool((await ask(server, "shop.mybrand.test", "A")).answer) == (rcode == Rcode.NOERROR)


async def test_a_zone_keeps_its_soa_and_ns_whatever_is_deleted(server):
    server.add("mybrand.test", "A", "127.0.0.1")
    update = UpdateMessage("mybrand.test")
    update.delete("@")
    update.delete("@", "SOA")
    update.delete("@", "NS", "ns.mybrand.test.")
    assert await send(server, update) == Rcode.NOERROR
    assert (await ask(server, "mybrand.test", "SOA")).answer
    assert (await ask(server, "mybrand.test", "NS")).answer
    assert not (await ask(server, "mybrand.test", "A")).answer


async def test_one_record_of_several_can_be_deleted(server):
    server.replace("mybrand.test", "A", "127.0.0.1", "127.0.0.2")
    update = UpdateMessage("mybrand.test")
    update.delete("@", "A", "127.0.0.1")
    assert await send(server, update) == Rcode.NOERROR
    assert await texts(server, "mybrand.test", "A") == ["127.0.0.2"]


async def test_a_cname_is_not_added_beside_other_records_nor_they_beside_it(server):
    server.add("one.mybrand.test", "A", "127.0.0.1")
    server.add("two.mybrand.test", "CNAME", "one.mybrand.test.")
    update = UpdateMessage("mybrand.test")
    update.add("one", 1, "CNAME", "two.mybrand.test.")
    update.add("two", 1, "TXT", "text")
    update.add("@", 1, "CNAME", "one.mybrand.test.")
    assert await send(server, update) == Rcode.NOERROR  # passed over in silence: RFC 2136 section 3.4.2.2
    assert await texts(server, "one.mybrand.test", "ANY") == ["127.0.0.1"]
    assert await texts(server, "two.mybrand.test", "CNAME") == ["one.mybrand.test."]
    assert not await texts(server, "mybrand.test", "CNAME")


async def test_an_soa_replaces_the_old_one_only_if_its_serial_is_later(server):
    for serial, expected in ((5, 5), (4, 5), (6, 6)):
        update = UpdateMessage("mybrand.test")
        update.add("@", 1, "SOA", f"ns hostmaster {serial} 1 1 1 1")
        assert await send(server, update) == Rcode.NOERROR
        (soa,) = (await ask(server, "mybrand.test", "SOA")).answer[0]
        assert soa.serial == expected


async def test_signatures_are_refused(server):
    update = UpdateMessage("mybrand.test")
    update.add("@", 1, "RRSIG", "A 8 2 1 20300101000000 20200101000000 1 mybrand.test. AAAA")
    assert await send(server, update) == Rcode.REFUSED


HEAD = b"\x12\x34\x28\x00"  # an id, and opcode UPDATE
ZONE = b"\x07mybrand\x04test\x00\x00\x06\x00\x01"
SHOP = b"\x04shop\xc0\x0c"


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + bytes(8),  # no zone
        HEAD + b"\x00\x02" + bytes(6) + ZONE + ZONE,
        HEAD + b"\x00\x01" + bytes(6) + ZONE[:-3] + b"\x01\x00\x01",  # its type is not SOA
        HEAD + b"\x00\x01\x00\x00\x00\x01\x00\x00" + ZONE,  # says one change, has none
        HEAD + b"\x00\x01\x00\x00\x00\x01\x00\x00" + ZONE + SHOP + b"\x00\x01\x00\x01\x00\x00\x00\x01\x00\x02\x7f\x00",
        HEAD + b"\x00\x01\x00\x00\x00\x01\x00\x00" + ZONE + SHOP + b"\x00\xff\x00\x01\x00\x00\x00\x01\x00\x00",
        HEAD + b"\x00\x01\x00\x00\x00\x01\x00\x00" + ZONE + SHOP + b"\x00\xfc\x00\xff\x00\x00\x00\x00\x00\x00",
        HEAD
        + b"\x00\x01\x00\x00\x00\x01\x00\x00"
        + ZONE
        + SHOP
        + b"\x00\x01\x00\xfe\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01",
        HEAD
        + b"\x00\x01\x00\x00\x00\x01\x00\x00"
        + ZONE
        + SHOP
        + b"\x00\x01\x00\x03\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01",
    ],
    ids=[
        "no zone",
        "two zones",
        "a zone that is no SOA",
        "cut off",
        "an address of two bytes",
        "adds the type ANY",
        "deletes the type AXFR",
        "deletes with a TTL",
        "another class",
    ],
)
async def test_a_malformed_update_is_answered_formerr_and_the_server_lives(child, wire):
    reader, writer = await asyncio.open_connection(LOOPBACK, child.port)
    with contextlib.closing(writer):
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = dns.message.from_wire(await reader.readexactly(size), question_only=True)
    assert (answer.id, answer.rcode()) == (0x1234, Rcode.FORMERR)
    await child.replace("mybrand.test", "A", "127.0.0.1")
    assert await texts(child, "mybrand.test", "A") == ["127.0.0.1"]
    assert child.process.log_path.read_text() == ""


async def test_records_too_many_for_any_message_are_a_server_failure_over_tcp(server):
    for n in range(300):
        server.add("big.mybrand.test", "TXT", f"{n:03}" * 80)
    query = dns.message.make_query("big.mybrand.test", "TXT")
    answer = await dns.asyncquery.tcp(query, LOOPBACK, port=server.port, timeout=5)
    assert answer.rcode() == Rcode.SERVFAIL
