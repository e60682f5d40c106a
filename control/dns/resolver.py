"""One resolver, and one question to it: over UDP, over TCP when the answer is truncated, asked twice at most.

Ids are random (dnspython) and so are source ports (each question has its own socket), which is what stands against
forged answers off the path (RFC 5452). A forged or broken datagram does not end a question: it is waited on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncbackend
import dns.inet
import dns.message
import dns.resolver
from dns.flags import Flag
from dns.message import QueryMessage
from dns.name import Name
from dns.rdatatype import RdataType

from control.dns.outcome import Malformed, Outcome, Timeout, Unreachable
from control.dns.reply import Truncated, interpret

PORT = 53
QUESTION_TIMEOUT = 2.0  # seconds, each time a question is asked
ATTEMPTS = 2
EDNS_PAYLOAD = 1232  # the DNS flag day 2020 default: fits everywhere without fragments

# 192.0.2.1, 192.0.2.1:53, 2001:db8::1, [2001:db8::1], [2001:db8::1]:53
_address = re.compile(r"\[(?P<v6>[^\]]+)\](?::(?P<v6_port>\d{1,5}))?|(?P<v4>[^:]+)(?::(?P<port>\d{1,5}))?").fullmatch


@dataclass(frozen=True, slots=True)
class Resolver:
    """A recursive resolver. `timeout`: seconds, each time a question is asked. Holds no socket between questions."""

    address: str
    port: int = PORT
    timeout: float = QUESTION_TIMEOUT

    @classmethod
    def parse(cls, text: str) -> Resolver:
        """From `address`, `address:port` or `[v6 address]:port`. Raises ValueError."""
        found = _address(text)
        host = (found["v6"] or found["v4"]) if found else text
        port = int((found["v6_port"] or found["port"] or PORT) if found else PORT)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"A resolver is given as an IP address with or without a port, not as {text!r}.") from None
        if not 0 < port < 65536:
            raise ValueError(f"{text!r} has no valid port.")
        return cls(str(address), port)

    @property
    def name(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    async def ask(
        self,
        name: Name,
        rdtype: RdataType,
        within: float,
        *,
        checking_disabled: bool = False,
        recursive: bool = True,
    ) -> Outcome:
        """Ask for the records of `name`, for at most `within` seconds. Never raises, whatever the resolver does.

        `checking_disabled`: it shall answer even where DNSSEC signatures do not hold (RFC 4035 section 3.2.2).
        `recursive`: it shall ask others; not wanted of an authoritative server.
        """
        flags = (Flag.RD if recursive else Flag(0)) | (Flag.CD if checking_disabled else Flag(0))
        outcome: Outcome = Timeout(self.name)
        try:
            async with asyncio.timeout(within):
                for _ in range(ATTEMPTS):
                    query = dns.message.make_query(name, rdtype, use_edns=0, payload=EDNS_PAYLOAD, flags=flags)
                    outcome = await self._attempt(query)
                    if not isinstance(outcome, Timeout | Malformed):
                        break
        except TimeoutError:
            pass
        return outcome

    async def _attempt(self, query: QueryMessage) -> Outcome:
        reply = await self._over_udp(query)
        if isinstance(reply, Truncated):
            reply = await self._over_tcp(query)
        # Over TCP, where a message has up to 65,535 bytes, there is nothing left to truncate for.
        return Malformed(self.name) if isinstance(reply, Truncated) else reply

    async def _over_udp(self, query: QueryMessage) -> Outcome | Truncated:
        """A socket that is connected, so that the kernel drops foreign senders and reports ICMP errors."""
        backend = dns.asyncbackend.get_backend("asyncio")
        silence: Outcome = Timeout(self.name)
        try:
            async with asyncio.timeout(self.timeout):
                family = dns.inet.af_for_address(self.address)
                where = (self.address, self.port)
                opening = backend.make_socket(family, socket.SOCK_DGRAM, 0, None, where)  # type: ignore[no-untyped-call]  # dnspython's
                async with await opening as datagrams:
                    await datagrams.sendto(query.to_wire(), None, None)
                    while True:
                        wire, _ = await datagrams.recvfrom(65535, None)
                        reply = interpret(query, wire, self.name)
                        if not isinstance(reply, Malformed):
                            return reply
                        silence = reply
        except TimeoutError:
            return silence
        except (OSError, EOFError):
            return Unreachable(self.name)

    async def _over_tcp(self, query: QueryMessage) -> Outcome | Truncated:
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = await asyncio.open_connection(self.address, self.port)
                try:
                    writer.write(query.to_wire(prepend_length=True))
                    size = int.from_bytes(await reader.readexactly(2))
                    return interpret(query, await reader.readexactly(size), self.name)
                finally:
                    writer.close()
        except TimeoutError:
            return Timeout(self.name)
        except (OSError, EOFError):
            return Unreachable(self.name)


def resolvers(configured: Sequence[str]) -> tuple[Resolver, ...]:
    """The resolvers of the settings, or the system's (resolv.conf) when none is given.

    Raises ValueError for an address that cannot be read, and when there is none at all.
    """
    if configured:
        return tuple(dict.fromkeys(Resolver.parse(text) for text in configured))
    try:
        system = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        raise ValueError("The system has no DNS resolvers; name some in the settings.") from None
    return tuple(dict.fromkeys(Resolver(str(address), system.port) for address in system.nameservers))
