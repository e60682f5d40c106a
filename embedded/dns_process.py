"""The DNS server of `embedded.dns` as a child process, edited by RFC 2136 UPDATE messages."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.update import UpdateMessage

from embedded.ports import LOOPBACK, free_udp_and_tcp_port
from embedded.process import Process, ServerFailed
from embedded.zone import TTL, Zone, parse_rdata

TIMEOUT = 5.0  # seconds for an update
PROBE_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class DnsProcess:
    """A running server. A method that edits raises `ServerFailed` unless the server has done what it was asked."""

    port: int
    process: Process
    _zones: set[Name] = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, state_dir: Path, name: str = "dns", *, zones: Sequence[str] = ()) -> AsyncIterator[DnsProcess]:
        """Serve on a free port of loopback, with the log in `state_dir/<name>.log`, until the block ends."""
        port = free_udp_and_tcp_port()
        arguments = [argument for zone in zones for argument in ("--zone", zone)]
        process = await Process.start(
            name,
            [sys.executable, "-m", "embedded.dns", "--port", str(port), "--updates", *arguments],
            log_path=state_dir / f"{name}.log",
            ready=lambda: _answers(port),
        )
        try:
            yield cls(port, process, {dns.name.from_text(zone) for zone in zones})
        finally:
            await process.stop()

    @property
    def address(self) -> str:
        """`host:port`, as resolvers are configured."""
        return f"{LOOPBACK}:{self.port}"

    async def add_zone(self, origin: str) -> None:
        """Serve a zone, empty but for SOA and NS; one that is served already stays as it is."""
        zone = Zone(dns.name.from_text(origin))
        update = UpdateMessage(zone.origin)
        update.add(zone.origin, zone.soa())
        await self._send(update)
        self._zones.add(zone.origin)

    async def add(self, name: str, rdtype: str, value: str, ttl: int = TTL) -> None:
        """Add a record beside those that exist. Raises KeyError when the name is in none of the zones."""
        update = self._update(name)
        update.add(dns.name.from_text(name), ttl, parse_rdata(dns.rdatatype.from_text(rdtype), value))
        await self._send(update)

    async def replace(self, name: str, rdtype: str, *values: str, ttl: int = TTL) -> None:
        """Make `values` the only records of this name and type, all at once."""
        update, kind = self._update(name), dns.rdatatype.from_text(rdtype)
        update.delete(dns.name.from_text(name), kind)
        for value in values:
            update.add(dns.name.from_text(name), ttl, parse_rdata(kind, value))
        await self._send(update)

    async def remove(self, name: str, rdtype: str | None = None) -> None:
        """Remove a name, or its records of one type; nothing happens when there are none."""
        update = self._update(name)
        update.delete(dns.name.from_text(name), *([] if rdtype is None else [dns.rdatatype.from_text(rdtype)]))
        await self._send(update)

    def _update(self, name: str) -> UpdateMessage:
        """An empty update of the innermost zone that holds `name`."""
        holding = [zone for zone in self._zones if dns.name.from_text(name).is_subdomain(zone)]
        if not holding:
            raise KeyError(f"{name} is in none of the zones {sorted(str(zone) for zone in self._zones)}")
        return UpdateMessage(max(holding, key=len))

    async def _send(self, update: UpdateMessage) -> None:
        try:
            # Not dnspython's own timeout: asyncio.wait_for swallows a cancellation that comes as it ends.
            async with asyncio.timeout(TIMEOUT):
                answer = await dns.asyncquery.tcp(update, LOOPBACK, port=self.port)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise ServerFailed(f"no answer to an UPDATE of {update.origin}: {error!r}") from error
        if answer.rcode() != Rcode.NOERROR:
            raise ServerFailed(f"the answer to an UPDATE of {update.origin} is {dns.rcode.to_text(answer.rcode())}")


async def _answers(port: int) -> bool:
    """Over TCP first, which refuses at once where nobody listens; then over UDP."""
    query: Message = dns.message.make_query(dns.name.root, RdataType.SOA)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await dns.asyncquery.tcp(query, LOOPBACK, port=port)
            await dns.asyncquery.udp(query, LOOPBACK, port=port)
    except (dns.exception.DNSException, OSError, EOFError):
        return False
    return True
