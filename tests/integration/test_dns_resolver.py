"""One question to a real DNS server, and to sockets that misbehave as real servers and attackers do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from control.dns.outcome import Answer, Malformed, NoData, NoName, Refused, ServFail, Timeout, Unreachable
from control.dns.resolver import Resolver
from embedded.dns import DnsServer, Fault
from embedded.ports import free_udp_and_tcp_port

WITHIN = 5.0


def resolver_of(server: DnsServer, timeout: float = 2.0) -> Resolver:
    return Resolver("127.0.0.1", server.port, timeout)


async def ask(resolver: Resolver, name: str, rdtype: RdataType = RdataType.TXT, within: float = WITHIN):
    return await resolver.ask(dns.name.from_text(name), rdtype, within)


async def test_a_long_record_in_several_strings_is_one_value(dns_zone):
    value = "verify-" + "0123456789" * 50
    dns_zone.add("a", "TXT", value)
    resolver = resolver_of(dns_zone.server)
    assert await ask(resolver, dns_zone.full("a")) == Answer(resolver.name, (value.encode(),))


async def test_a_missing_name_and_a_missing_record_are_told_apart(dns_zone):
    dns_zone.add("a", "A", "192.0.2.1")
    resolver = resolver_of(dns_zone.server)
    assert await ask(resolver, dns_zone.full("a")) == NoData(resolver.name)
    assert await ask(resolver, dns_zone.full("b")) == NoName(resolver.name)


async def test_servfail_and_refused_are_told_apart_and_asked_only_once(dns_zone):
    name = dns_zone.full("a")
    resolver = resolver_of(dns_zone.server)
    dns_zone.server.fail(name, Fault(rcode=Rcode.SERVFAIL))
    assert await ask(resolver, name) == ServFail(resolver.name)
    assert dns_zone.server.query_count(name) == 1
    dns_zone.server.fail(name, Fault(rcode=Rcode.REFUSED))
    assert await ask(resolver, name) == Refused(resolver.name)
    assert dns_zone.server.query_count(name) == 2


async def test_a_silent_resolver_is_asked_twice_and_then_timed_out(dns_zone):
    name = dns_zone.full("a")
    dns_zone.server.fail(name, Fault(drop=True))
    resolver = resolver_of(dns_zone.server, timeout=0.1)
    assert await ask(resolver, name) == Timeout(resolver.name)
    assert dns_zone.server.query_count(name) == 2


async def test_the_whole_bound_ends_a_question_before_its_second_attempt(dns_zone):
    name = dns_zone.full("a")
    dns_zone.server.fail(name, Fault(drop=True))
    resolver = resolver_of(dns_zone.server)
    assert await ask(resolver, name, within=0.1) == Timeout(resolver.name)
    assert dns_zone.server.query_count(name) == 1


async def test_records_too_many_for_a_datagram_come_over_tcp(dns_zone):
    values = {f"value {number} {'x' * 180}" for number in range(60)}
    for value in values:
        dns_zone.add("a", "TXT", value)
    name = dns_zone.full("a")
    outcome = await ask(resolver_of(dns_zone.server), name)
    assert isinstance(outcome, Answer)
    assert {value.decode() for value in outcome.values} == values
    assert dns_zone.server.query_count(name) == 2  # once over UDP, once over TCP


async def test_the_whole_cname_chain_is_in_the_answer(dns_zone):
    dns_zone.add("shop", "CNAME", dns_zone.full("edge") + ".")
    dns_zone.add("edge", "CNAME", "custom.elsewhere.example.")
    resolver = resolver_of(dns_zone.server)
    outcome = await ask(resolver, dns_zone.full("shop"), RdataType.A)
    assert outcome == NoData(resolver.name, (dns_zone.full("edge"), "custom.elsewhere.example"))


async def test_a_txt_name_that_is_a_cname_is_followed(dns_zone):
    dns_zone.add("_platform-verify.shop", "CNAME", dns_zone.full("proofs") + ".")
    dns_zone.add("proofs", "TXT", "verify-abc")
    outcome = await ask(resolver_of(dns_zone.server), dns_zone.full("_platform-verify.shop"))
    assert isinstance(outcome, Answer)
    assert outcome.values == (b"verify-abc",)


async def test_a_port_where_nobody_listens_is_unreachable_at_once(dns_zone):
    resolver = Resolver("127.0.0.1", free_udp_and_tcp_port(), timeout=60.0)
    assert await ask(resolver, "a.example.com", within=60.0) == Unreachable(resolver.name)


# --- sockets that misbehave


class Datagrams(asyncio.DatagramProtocol):
    """Sends what `behave` makes of each packet."""

    def __init__(self, behave: Callable[[bytes], Iterable[bytes]]) -> None:
        self._behave = behave
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        assert self._transport is not None
        for packet in self._behave(data):
            self._transport.sendto(packet, addr)


@asynccontextmanager
async def serving(
    behave: Callable[[bytes], Iterable[bytes]], tcp: Callable[[bytes], bytes] | None = None, timeout: float = 0.2
) -> AsyncIterator[Resolver]:
    """`tcp`: from the framed query to all bytes that are sent before the connection is closed."""

    async def connected(reader, writer):
        size = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(tcp(await reader.readexactly(size)))
        writer.close()

    port = free_udp_and_tcp_port()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(behave), ("127.0.0.1", port))
    server = await asyncio.start_server(connected, "127.0.0.1", port) if tcp else None
    try:
        yield Resolver("127.0.0.1", port, timeout)
    finally:
        transport.close()
        if server is not None:
            server.close()


def answer(wire: bytes, value: str = "verify-abc") -> bytes:
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", f'"{value}"'))
    return response.to_wire()


def truncated(wire: bytes) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(wire))
    response.flags |= dns.flags.TC
    return response.to_wire()


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


def other_id(wire: bytes) -> bytes:
    return bytes([wire[0] ^ 1]) + wire[1:]


async def test_a_forged_datagram_before_the_answer_changes_nothing():
    async with serving(lambda wire: [b"\0", b"\xff" * 40, answer(other_id(wire), "forged"), answer(wire)]) as resolver:
        assert await ask(resolver, "a.example.com") == Answer(resolver.name, (b"verify-abc",))


@pytest.mark.parametrize("garbage", [b"\0", b"\xff" * 512, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_nothing_but_garbage_is_malformed_rather_than_silent(garbage):
    async with serving(lambda _wire: [garbage]) as resolver:
        assert await ask(resolver, "a.example.com") == Malformed(resolver.name)


async def test_a_lost_packet_costs_one_attempt():
    asked = []

    def second_time(wire: bytes) -> Iterable[bytes]:
        asked.append(wire)
        return [answer(wire)] if len(asked) == 2 else []

    async with serving(second_time) as resolver:
        assert await ask(resolver, "a.example.com") == Answer(resolver.name, (b"verify-abc",))
    assert asked[0][:2] != asked[1][:2]  # an id of its own


async def test_truncation_over_tcp_too_is_malformed():
    async with serving(lambda wire: [truncated(wire)], tcp=lambda wire: framed(truncated(wire))) as resolver:
        assert await ask(resolver, "a.example.com") == Malformed(resolver.name)


@pytest.mark.parametrize("cut", [0, 1, 2, 20])
async def test_a_tcp_connection_that_is_cut_is_unreachable(cut):
    async with serving(lambda wire: [truncated(wire)], tcp=lambda wire: framed(answer(wire))[:cut]) as resolver:
        assert await ask(resolver, "a.example.com") == Unreachable(resolver.name)


async def test_garbage_over_tcp_is_malformed():
    async with serving(lambda wire: [truncated(wire)], tcp=lambda _wire: framed(b"\xff" * 30)) as resolver:
        assert await ask(resolver, "a.example.com") == Malformed(resolver.name)


async def test_a_resolver_without_tcp_is_unreachable_when_the_answer_is_long():
    async with serving(lambda wire: [truncated(wire)]) as resolver:
        assert await ask(resolver, "a.example.com") == Unreachable(resolver.name)
