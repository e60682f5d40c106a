"""The embedded DNS server, asked by dnspython as a resolver would ask."""

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import pytest

from embedded.dns import Fault


@pytest.fixture
def resolver(dns_server):
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = dns_server.port
    resolver.lifetime = 5
    return resolver


async def ask(server, name, rdtype, **options):
    query = dns.message.make_query(name, rdtype, **options)
    return await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=5)


async def test_records_can_be_added_replaced_and_removed_while_it_serves(resolver, dns_zone):
    name = dns_zone.full("_verify.shop")
    dns_zone.add("_verify.shop", "TXT", "one")
    dns_zone.add("_verify.shop", "TXT", 'two "quoted" \\ words')
    answer = await resolver.resolve(name, "TXT")
    assert {b"".join(record.strings).decode() for record in answer} == {"one", 'two "quoted" \\ words'}
    dns_zone.replace("_verify.shop", "TXT", "three")
    assert [record.strings for record in await resolver.resolve(name, "TXT")] == [(b"three",)]
    dns_zone.remove("_verify.shop")
    with pytest.raises(dns.resolver.NXDOMAIN):
        await resolver.resolve(name, "TXT")


async def test_a_name_that_does_not_exist_is_nxdomain_with_the_zones_soa(dns_server, dns_zone):
    answer = await ask(dns_server, dns_zone.full("nobody"), "A")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.flags & dns.flags.AA
    assert answer.authority[0].name.to_text() == f"{dns_zone.origin}."


async def test_a_name_with_other_records_is_no_data(dns_server, dns_zone):
    dns_zone.add("a.b", "A", "127.0.0.1")
    for name in ("a.b", "b"):  # b exists because something below it does
        answer = await ask(dns_server, dns_zone.full(name), "AAAA")
        assert answer.rcode() == dns.rcode.NOERROR
        assert not answer.answer
        assert answer.authority


async def test_a_name_in_no_zone_is_refused(dns_server):
    assert (await ask(dns_server, "elsewhere.example", "A")).rcode() == dns.rcode.REFUSED


async def test_a_cname_is_followed_into_another_zone(resolver, dns_server, dns_zone, number):
    dns_server.add_zone(f"platform{number}.test")
    dns_server.add(f"custom.platform{number}.test", "A", "127.0.0.9")
    dns_zone.add("shop", "CNAME", f"custom.platform{number}.test.")
    answer = await resolver.resolve(dns_zone.full("shop"), "A")
    assert [record.address for record in answer] == ["127.0.0.9"]
    assert answer.canonical_name.to_text() == f"custom.platform{number}.test."


async def test_a_wildcard_answers_for_names_that_do_not_exist(resolver, dns_zone):
    dns_zone.add("*", "A", "127.0.0.1")
    dns_zone.add("there.sub", "A", "127.0.0.2")
    assert (await resolver.resolve(dns_zone.full("any.depth"), "A"))[0].address == "127.0.0.1"
    with pytest.raises(dns.resolver.NXDOMAIN):  # RFC 4592: the wildcard does not reach below an existing name
        await resolver.resolve(dns_zone.full("nobody.sub"), "A")


async def test_a_fault_gives_an_answer_code_or_silence_until_it_is_healed(dns_server, dns_zone):
    dns_zone.add("shop", "A", "127.0.0.1")
    name = dns_zone.full("shop")
    dns_server.fail(name, Fault(rcode=dns.rcode.SERVFAIL))
    assert (await ask(dns_server, name, "A")).rcode() == dns.rcode.SERVFAIL
    dns_server.fail(name, Fault(drop=True))
    with pytest.raises(dns.exception.Timeout):
        query = dns.message.make_query(name, "A")
        await dns.asyncquery.udp(query, "127.0.0.1", port=dns_server.port, timeout=0.1)
    dns_server.heal(name)
    assert (await ask(dns_server, name, "A")).answer
    assert dns_server.query_count(name) == dns_server.query_count(name, "A") == 3
    assert dns_server.query_count(name, "TXT") == 0


async def test_a_fault_of_one_type_leaves_the_others_alone(dns_server, dns_zone):
    name = dns_zone.full("shop")
    dns_zone.add("shop", "A", "127.0.0.1")
    dns_server.fail(name, Fault(rcode=dns.rcode.SERVFAIL), "TXT")
    assert (await ask(dns_server, name, "TXT")).rcode() == dns.rcode.SERVFAIL
    assert (await ask(dns_server, name, "A")).answer


async def test_a_delayed_answer_comes_after_its_time_and_holds_up_no_other(dns_server, dns_zone):
    dns_zone.add("slow", "A", "127.0.0.1")
    dns_zone.add("quick", "A", "127.0.0.1")
    dns_server.fail(dns_zone.full("slow"), Fault(delay=0.3))
    with pytest.raises(dns.exception.Timeout):
        query = dns.message.make_query(dns_zone.full("slow"), "A")
        await dns.asyncquery.udp(query, "127.0.0.1", port=dns_server.port, timeout=0.1)
    assert (await ask(dns_server, dns_zone.full("quick"), "A")).answer
    assert (await ask(dns_server, dns_zone.full("slow"), "A")).answer


async def test_an_answer_too_big_for_udp_is_truncated_and_whole_over_tcp(resolver, dns_server, dns_zone):
    for i in range(10):
        dns_zone.add("big", "TXT", f"{i}" * 200)
    name = dns_zone.full("big")
    for options in ({}, {"use_edns": 0, "payload": 4096}):
        answer = await ask(dns_server, name, "TXT", **options)
        assert answer.flags & dns.flags.TC
        assert not answer.answer
    assert len(await resolver.resolve(name, "TXT")) == 10


async def test_packets_that_are_no_questions_are_answered_or_ignored_without_harm(dns_server, dns_zone):
    respond = dns_server.respond
    for rubbish in (b"", b"\x00" * 11, b"\xff" * 40):
        assert respond(rubbish, udp=True) == (None, 0.0)
    wire, _ = respond(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07trunc", udp=True)
    assert dns.message.from_wire(wire).rcode() == dns.rcode.FORMERR
    assert wire[:2] == b"\x12\x34"
    update = dns.message.make_query("a.test", "SOA")
    update.set_opcode(4)  # NOTIFY
    wire, _ = respond(update.to_wire(), udp=True)
    assert dns.message.from_wire(wire).rcode() == dns.rcode.NOTIMP


async def test_other_record_types_are_served(resolver, dns_zone):
    dns_zone.add("@", "CAA", '0 issue "ca.example"')
    dns_zone.add("@", "AAAA", "::1")
    assert (await resolver.resolve(dns_zone.origin, "CAA"))[0].value == b"ca.example"
    assert (await resolver.resolve(dns_zone.origin, "AAAA"))[0].address == "::1"
    assert (await resolver.resolve(dns_zone.origin, "SOA"))[0].minimum == 1
    assert (await resolver.resolve(dns_zone.origin, "NS"))[0].target.to_text() == f"ns.{dns_zone.origin}."
