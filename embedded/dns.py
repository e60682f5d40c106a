"""A small authoritative DNS server for the zones of the demo and the tests.

It answers over UDP and TCP on one port, follows CNAMEs within its zones, and can be told to fail for a name.
Every method that edits records or faults is synchronous and may be called from any thread.

As a process (`python -m embedded.dns --port 5353 --updates --zone mybrand.test`, until SIGTERM) it is edited by
RFC 2136 UPDATE messages instead. They are unsigned: it listens on loopback only, and whoever reaches it may edit. An
update of a zone that is not served is NOTAUTH, with one exception for development: if it adds that zone's SOA, the
zone is created. With bind9's client:

    nsupdate <<< $'server 127.0.0.1 5353\nzone mybrand.test\nadd shop.mybrand.test 1 A 127.0.0.1\nsend'
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
from dns.edns import EDECode, EDEOption
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.update import UpdateMessage

from embedded import dns_update, listener
from embedded.dns_wire import EDNS_PAYLOAD, encode, format_error
from embedded.ports import LOOPBACK, free_udp_and_tcp_port
from embedded.signals import ending
from embedded.zone import TTL, Zone, rrset

MAX_CNAMES = 16
BIND_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong for a name: an answer code, no answer at all, or seconds of delay before the answer.

    `error`: an Extended DNS Error that goes with the code (RFC 8914). `checked`: whoever disables checking (CD) is
    spared, as by a validating resolver whose zone has broken signatures. `first`: only so many questions of a name and
    type meet it, counted from the server's start.
    """

    rcode: Rcode | None = None
    drop: bool = False
    delay: float = 0.0
    error: EDECode | None = None
    checked: bool = False
    first: int | None = None


NO_FAULT = Fault()


@dataclass(slots=True)
class DnsServer:
    """Zones, faults and counters behind one port. `updates`: whether UPDATE messages may edit the zones."""

    port: int
    updates: bool = False
    _zones: dict[Name, Zone] = field(default_factory=dict, repr=False)
    _faults: dict[tuple[Name, RdataType | None], Fault] = field(default_factory=dict, repr=False)
    _counts: Counter[tuple[Name, RdataType]] = field(default_factory=Counter, repr=False)
    _connections: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, port: int | None = None, *, updates: bool = False) -> AsyncIterator[DnsServer]:
        """Serve on loopback, on a free port unless one is given, until the block ends."""
        loop = asyncio.get_running_loop()
        attempts = BIND_ATTEMPTS if port is None else 1
        for attempt in range(attempts):
            server = cls(port=free_udp_and_tcp_port() if port is None else port, updates=updates)
            try:
                tcp = await asyncio.start_server(server._accept, LOOPBACK, server.port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or attempt == attempts - 1:
                    raise
                continue
            try:
                udp, _ = await loop.create_datagram_endpoint(
                    lambda server=server: _Datagrams(server),  # type: ignore[misc]  # mypy cannot type a lambda default
                    (LOOPBACK, server.port),
                )
            except OSError as error:
                tcp.close()
                if error.errno != errno.EADDRINUSE or attempt == attempts - 1:
                    raise
                continue
            break
        try:
            yield server
        finally:
            udp.close()
            await listener.close(tcp)
            for task in set(server._connections):
                task.cancel()
            await asyncio.gather(*server._connections, return_exceptions=True)

    @property
    def address(self) -> str:
        """`host:port`, as resolvers are configured."""
        return f"{LOOPBACK}:{self.port}"

    def add_zone(self, origin: str) -> None:
        """Serve a zone, empty but for SOA and NS; it replaces one of the same name."""
        name = _name(origin)
        self._zones = {**self._zones, name: Zone(name)}

    def remove_zone(self, origin: str) -> None:
        """Stop serving a zone: questions about it are REFUSED."""
        self._zones = {name: zone for name, zone in self._zones.items() if name != _name(origin)}

    def add(self, name: str, rdtype: str, value: str, ttl: int = TTL) -> None:
        """Add a record beside those that exist. Raises KeyError when the name is in none of the zones."""
        self._zone_or_raise(name).add(_name(name), dns.rdatatype.from_text(rdtype), value, ttl)

    def replace(self, name: str, rdtype: str, *values: str, ttl: int = TTL) -> None:
        """Make `values` the only records of this name and type."""
        self.remove(name, rdtype)
        for value in values:
            self.add(name, rdtype, value, ttl)

    def remove(self, name: str, rdtype: str | None = None) -> None:
        """Remove a name, or its records of one type."""
        kind = None if rdtype is None else dns.rdatatype.from_text(rdtype)
        self._zone_or_raise(name).remove(_name(name), kind)

    def fail(self, name: str, fault: Fault, rdtype: str | None = None) -> None:
        """Let questions for exactly this name (of one type, or all) meet a fault until `heal`."""
        kind = None if rdtype is None else dns.rdatatype.from_text(rdtype)
        self._faults = {**self._faults, (_name(name), kind): fault}

    def heal(self, name: str) -> None:
        """Remove the faults of a name."""
        self._faults = {key: fault for key, fault in self._faults.items() if key[0] != _name(name)}

    def query_count(self, name: str, rdtype: str | None = None) -> int:
        """How many questions were asked for exactly this name (of one type, or all), faults included."""
        kind = None if rdtype is None else dns.rdatatype.from_text(rdtype)
        counts = list(self._counts.items())
        return sum(n for (owner, asked), n in counts if owner == _name(name) and kind in {None, asked})

    def respond(self, wire: bytes, *, udp: bool) -> tuple[bytes | None, float]:
        """The answer to a packet, None for silence, and how many seconds to wait before it is sent."""
        try:
            query = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.exception.DNSException:
            return format_error(wire), 0.0
        if query.flags & dns.flags.QR:
            return None, 0.0
        if isinstance(query, UpdateMessage):
            response = dns.message.make_response(query, our_payload=EDNS_PAYLOAD)
            response.set_rcode(self._update(query))
            return response.to_wire(), 0.0
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response = dns.message.make_response(query)
            response.set_rcode(Rcode.NOTIMP)
            return response.to_wire(), 0.0
        name, rdtype = query.question[0].name, query.question[0].rdtype
        self._counts[name, rdtype] += 1
        fault = self._faults.get((name, rdtype)) or self._faults.get((name, None)) or NO_FAULT
        if (fault.checked and query.flags & dns.flags.CD) or (
            fault.first is not None and self._counts[name, rdtype] > fault.first
        ):
            fault = NO_FAULT
        if fault.drop:
            return None, 0.0
        response = dns.message.make_response(query, our_payload=EDNS_PAYLOAD)
        response.flags |= dns.flags.AA
        if fault.error is not None and query.edns >= 0:
            response.use_edns(0, payload=EDNS_PAYLOAD, options=[EDEOption(fault.error)])
        if fault.rcode is not None:
            response.set_rcode(fault.rcode)
        else:
            self._answer(response, name, rdtype)
        return encode(response, query, udp=udp), fault.delay

    def _answer(self, response: dns.message.Message, name: Name, rdtype: RdataType) -> None:
        for _ in range(MAX_CNAMES):
            zone = self._zone(name)
            if zone is None:
                # Nothing said yet: not ours. After a CNAME the asker resolves the rest itself.
                if not response.answer:
                    response.set_rcode(Rcode.REFUSED)
                return
            records = zone.find(name)
            if records is None:
                response.set_rcode(Rcode.NXDOMAIN)
                response.authority.append(zone.soa())
                return
            wanted = [s for kind, s in records.items() if rdtype in {kind, RdataType.ANY}]
            if wanted:
                response.answer.extend(rrset(name, s) for s in wanted)
                return
            if RdataType.CNAME not in records:
                response.authority.append(zone.soa())
                return
            response.answer.append(rrset(name, records[RdataType.CNAME]))
            name = records[RdataType.CNAME][0].target
        response.set_rcode(Rcode.SERVFAIL)

    def _update(self, message: UpdateMessage) -> Rcode:
        """RFC 2136 section 3: what an update did, or why it did nothing."""
        if not self.updates:
            return Rcode.REFUSED
        if len(message.zone) != 1:
            return Rcode.FORMERR
        origin = message.zone[0].name
        if message.zone[0].rdclass != RdataClass.IN:
            return Rcode.NOTAUTH
        zone = self._zones.get(origin)
        if zone is None:
            soa = dns_update.founding_soa(message, origin)
            if soa is None:
                return Rcode.NOTAUTH
            try:
                zone = Zone(origin)
            except dns.exception.DNSException:  # no room for `ns.` before the name
                return Rcode.REFUSED
            zone.put(origin, soa[0], soa.ttl)
        rcode = dns_update.apply(zone, message)
        if rcode == Rcode.NOERROR:
            self._zones = {**self._zones, origin: zone}
        return rcode

    def _zone(self, name: Name) -> Zone | None:
        """The zone with the longest origin that holds `name`."""
        zones = self._zones
        while True:
            if name in zones:
                return zones[name]
            if name == dns.name.root:
                return None
            name = name.parent()

    def _zone_or_raise(self, name: str) -> Zone:
        zone = self._zone(_name(name))
        if zone is None:
            raise KeyError(f"{name} is in none of the zones {[str(origin) for origin in self._zones]}")
        return zone

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: Python 3.11 logs a traceback for each task of its own that is cancelled.
        task = asyncio.create_task(self._serve_tcp(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    answer, delay = self.respond(await reader.readexactly(size), udp=False)
                    await asyncio.sleep(delay)
                    if answer is not None:
                        writer.write(struct.pack("!H", len(answer)) + answer)
                        await writer.drain()
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer, delay = self._server.respond(data, udp=True)
        if answer is not None:
            asyncio.get_running_loop().call_later(delay, self._send, answer, addr)

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)


def _name(text: str) -> Name:
    return dns.name.from_text(text).canonicalize()


async def serve(port: int, zones: Sequence[str], *, updates: bool) -> None:
    """Until SIGTERM."""
    end = ending()
    async with DnsServer.start(port, updates=updates) as server:
        for zone in zones:
            server.add_zone(zone)
        await end.wait()


def main() -> None:
    parser = argparse.ArgumentParser("python -m embedded.dns", description="A DNS server for development, on loopback.")
    parser.add_argument("--port", type=int, required=True, help="for UDP and TCP")
    parser.add_argument("--zone", action="append", default=[], help="a zone to serve; may be repeated")
    parser.add_argument("--updates", action="store_true", help="let whoever reaches it edit zones by RFC 2136 UPDATE")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.zone, updates=arguments.updates))


if __name__ == "__main__":
    main()
