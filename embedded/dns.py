"""A small authoritative DNS server for the zones of the demo and the tests, in this process.

It answers over UDP and TCP on one port, follows CNAMEs within its zones, and can be told to fail for a name.
Every method that edits records or faults is synchronous and may be called from any thread.
"""

from __future__ import annotations

import asyncio
import errno
import struct
from collections import Counter
from collections.abc import AsyncIterator
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
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from embedded.ports import LOOPBACK, free_udp_and_tcp_port
from embedded.zone import TTL, Zone, rrset

EDNS_PAYLOAD = 1232  # the DNS flag day 2020 default
MIN_UDP_SIZE = 512  # RFC 1035 section 4.2.1
HEADER_SIZE = 12
MAX_CNAMES = 16
BIND_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong for a name: an answer code, no answer at all, or seconds of delay before the answer."""

    rcode: Rcode | None = None
    drop: bool = False
    delay: float = 0.0


NO_FAULT = Fault()


@dataclass(slots=True)
class DnsServer:
    """Zones, faults and counters behind one port."""

    port: int
    _zones: dict[Name, Zone] = field(default_factory=dict, repr=False)
    _faults: dict[tuple[Name, RdataType | None], Fault] = field(default_factory=dict, repr=False)
    _counts: Counter[tuple[Name, RdataType]] = field(default_factory=Counter, repr=False)
    _connections: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[DnsServer]:
        """Serve on a free port of the loopback address until the block ends."""
        loop = asyncio.get_running_loop()
        for attempt in range(BIND_ATTEMPTS):
            server = cls(port=free_udp_and_tcp_port())
            try:
                tcp = await asyncio.start_server(server._serve_tcp, LOOPBACK, server.port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or attempt == BIND_ATTEMPTS - 1:
                    raise
                continue
            try:
                udp, _ = await loop.create_datagram_endpoint(
                    lambda server=server: _Datagrams(server),  # type: ignore[misc]  # mypy cannot type a lambda default
                    (LOOPBACK, server.port),
                )
            except OSError as error:
                tcp.close()
                if error.errno != errno.EADDRINUSE or attempt == BIND_ATTEMPTS - 1:
                    raise
                continue
            break
        try:
            yield server
        finally:
            udp.close()
            tcp.close()
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
            return _format_error(wire), 0.0
        if query.flags & dns.flags.QR:
            return None, 0.0
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response = dns.message.make_response(query)
            response.set_rcode(Rcode.NOTIMP)
            return response.to_wire(), 0.0
        name, rdtype = query.question[0].name, query.question[0].rdtype
        self._counts[name, rdtype] += 1
        fault = self._faults.get((name, rdtype)) or self._faults.get((name, None)) or NO_FAULT
        if fault.drop:
            return None, 0.0
        response = dns.message.make_response(query, our_payload=EDNS_PAYLOAD)
        response.flags |= dns.flags.AA
        if fault.rcode is not None:
            response.set_rcode(fault.rcode)
        else:
            self._answer(response, name, rdtype)
        return _encode(response, query, udp=udp), fault.delay

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

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
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
            self._connections.discard(task)
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


def _encode(response: dns.message.Message, query: dns.message.Message, *, udp: bool) -> bytes:
    if not udp:
        return response.to_wire(max_size=65535)
    limit = max(MIN_UDP_SIZE, query.payload) if query.edns >= 0 else MIN_UDP_SIZE
    try:
        return response.to_wire(max_size=min(limit, EDNS_PAYLOAD))
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=limit)


def _format_error(wire: bytes) -> bytes | None:
    """FORMERR with the packet's own id, or silence when there is not even a header (or it is an answer)."""
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([0x80 | (wire[2] & 0x79), Rcode.FORMERR]) + bytes(HEADER_SIZE - 4)
