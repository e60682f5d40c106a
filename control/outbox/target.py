"""Where a webhook's host leads: resolved once, judged, and then connected to at the very address that was judged.

A name that answers differently at its second resolution (DNS rebinding) gains nothing: there is no second one. Only the
resolvers of the settings are asked: neither /etc/hosts nor a search list makes a name of ours of a tenant's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import zip_longest

from dns.rdatatype import RdataType

from control.dns.outcome import Answer, NoData, NoName, Outcome
from control.dns.ownership import absolute
from control.dns.resolver import Resolver
from control.outbox.guard import Address, Network, literal, refusal
from core.errors import NameplateError

RESOLVE_TIMEOUT = 5.0  # seconds
MOST_ADDRESSES = 4  # that are tried, one after the other


class TargetError(NameplateError):
    """Codes: name_not_found, name_unresolved, address_refused."""


@dataclass(frozen=True, slots=True)
class Targets:
    """`allowed`: networks that are not public and may be sent to all the same."""

    resolvers: Sequence[Resolver]
    allowed: Sequence[Network] = ()

    async def addresses(self, host: str) -> Sequence[Address]:
        """At least one, in the order in which they are to be tried. Raises TargetError.

        One address that is refused refuses them all: an honest name does not mix them.
        """
        own = literal(host)
        found = [own] if own is not None else await self._resolve(host)
        for address in found:
            kind = refusal(address, self.allowed)
            if kind is not None:
                raise TargetError("address_refused", f"{host} leads to {address}, which is not public ({kind}).")
        return found[:MOST_ADDRESSES]

    async def _resolve(self, host: str) -> list[Address]:
        six, four = await asyncio.gather(self._ask(host, RdataType.AAAA), self._ask(host, RdataType.A))
        alternately = [address for pair in zip_longest(_read(six), _read(four)) for address in pair]
        found = [address for address in alternately if address is not None]
        if found:
            return found
        if isinstance(six, NoName | NoData) and isinstance(four, NoName | NoData):
            raise TargetError("name_not_found", f"The DNS has no address of {host}.")
        raise TargetError("name_unresolved", f"The DNS did not say where {host} leads.")

    async def _ask(self, host: str, rdtype: RdataType) -> Outcome | None:
        """The first definitive answer of a resolver; else the last one's failure."""
        name = absolute(host)
        outcome: Outcome | None = None
        if name is None:
            return None
        for resolver in self.resolvers:
            outcome = await resolver.ask(name, rdtype, RESOLVE_TIMEOUT)
            if isinstance(outcome, Answer | NoName | NoData):
                break
        return outcome


def _read(outcome: Outcome | None) -> list[Address]:
    return [ip_address(value.decode()) for value in outcome.values] if isinstance(outcome, Answer) else []
