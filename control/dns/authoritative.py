"""The servers of the platform's own zone, and the wait until all of them show what was written to the primary.

A CA may ask any of them. A server that cannot tell (silent, unreachable, failing) is waited for a while and then left
out, as resolvers leave it out; one that answers without the value is waited for until the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic

import dns.name
import structlog
from dns.name import Name
from dns.rdatatype import RdataType

from control.dns.outcome import Answer, Definitive, Outcome
from control.dns.resolver import PORT, Resolver
from control.dns.update import DnsUpdateError

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds
LOOK_TIMEOUT = 3.0  # seconds for one question to all servers
SERVERS_KEPT = 300.0  # seconds that the zone's NS records and their addresses are believed

MESSAGES: Mapping[str, str] = {
    "dns_servers_unknown": "The name servers of {zone} cannot be found: its NS records, or their addresses.",
    "dns_servers_silent": "None of the name servers of {zone} answers: {servers}.",
    "dns_not_propagated": "These name servers of {zone} do not show what its primary was given: {servers}.",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `whole`: for all servers; `silent`: for those that cannot tell, of which one at least must answer."""

    whole: float = 45.0
    silent: float = 15.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Which servers show all values, which answer without them, and which cannot tell."""

    shown: tuple[str, ...]
    lacking: tuple[str, ...]
    silent: tuple[str, ...]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], values: Sequence[str]) -> Spread:
        wanted = {value.encode() for value in values}
        shown, lacking, silent = [], [], []
        for outcome in outcomes:
            if not isinstance(outcome, Definitive):
                silent.append(outcome.resolver)
            elif isinstance(outcome, Answer) and wanted <= set(outcome.values):
                shown.append(outcome.resolver)
            else:
                lacking.append(outcome.resolver)
        return cls(tuple(shown), tuple(lacking), tuple(silent))

    def is_enough(self, *, silence_over: bool) -> bool:
        return bool(self.shown) and not self.lacking and (silence_over or not self.silent)


class Authoritative:
    """`servers`: those of the settings; none: by the zone's NS records, which `resolvers` are asked for.

    `port`: of the servers that are found by NS.
    """

    def __init__(
        self,
        zone: str,
        resolvers: Sequence[Resolver],
        servers: Sequence[Resolver] = (),
        patience: Patience = Patience(),
        port: int = PORT,
    ) -> None:
        self._zone = zone
        self._resolvers = resolvers
        self._configured = tuple(servers)
        self._patience = patience
        self._port = port
        self._found: tuple[Resolver, ...] = ()
        self._found_until = 0.0

    async def wait(self, name: str, values: Sequence[str]) -> None:
        """Return once all servers show the TXT values at `name`. Raises DnsUpdateError."""
        servers = await self.servers()
        begin, pause = monotonic(), FIRST_PAUSE
        while True:
            spread = Spread.of(await _ask_all(servers, dns.name.from_text(name), RdataType.TXT), values)
            waited = monotonic() - begin
            if spread.is_enough(silence_over=waited >= self._patience.silent):
                if spread.silent:
                    log.warning("dns_servers_left_out", zone=self._zone, servers=spread.silent)
                return
            if waited + pause > (self._patience.whole if spread.shown or spread.lacking else self._patience.silent):
                raise self._late(spread)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def servers(self) -> tuple[Resolver, ...]:
        """Raises DnsUpdateError."""
        if self._configured:
            return self._configured
        if monotonic() >= self._found_until:
            self._found = await self._find()
            self._found_until = monotonic() + SERVERS_KEPT
        return self._found

    async def _find(self) -> tuple[Resolver, ...]:
        zone = dns.name.from_text(self._zone)
        names = [dns.name.from_text(text) for text in await self._values(zone, RdataType.NS)]
        questions = [(name, kind) for name in names for kind in (RdataType.A, RdataType.AAAA)]
        found = await asyncio.gather(*(self._values(name, kind) for name, kind in questions))
        addresses = sorted({address for group in found for address in group if _is_address(address)})
        if not addresses:
            raise self._error("dns_servers_unknown")
        return tuple(Resolver(address, self._port) for address in addresses)

    async def _values(self, name: Name, kind: RdataType) -> Sequence[str]:
        """Of the first resolver that can tell."""
        for resolver in self._resolvers:
            outcome = await resolver.ask(name, kind, LOOK_TIMEOUT)
            if isinstance(outcome, Definitive):
                return [value.decode() for value in outcome.values] if isinstance(outcome, Answer) else ()
        return ()

    def _late(self, spread: Spread) -> DnsUpdateError:
        if spread.lacking:
            return self._error("dns_not_propagated", spread.lacking)
        return self._error("dns_servers_silent", spread.silent)

    def _error(self, code: str, servers: Sequence[str] = ()) -> DnsUpdateError:
        return DnsUpdateError(code, MESSAGES[code].format(zone=self._zone, servers=", ".join(servers)))


async def _ask_all(servers: Sequence[Resolver], name: Name, kind: RdataType) -> list[Outcome]:
    return await asyncio.gather(*(server.ask(name, kind, LOOK_TIMEOUT, recursive=False) for server in servers))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
