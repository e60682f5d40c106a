"""A look at where an active name leads: its addresses by every resolver, then what may explain that it is not here.

- Addresses that are somebody else's: the name is asked over HTTP, where a probe is given, because behind a proxy (a CDN
  in front of the platform) that is how it looks. Without a probe such a name is taken for moved.
- The delegation of its DNS challenge leads here: of a name that has never led here, whose certificate was obtained
  before its traffic comes; and of a wildcard, whose tenant may point single names here one by one.
- Another tenant has proved the name: only the tenant's own CNAME target, or its TXT record, then say that it is here.
  The platform's addresses do not, because they are the same for all.

A wildcard is looked at by a random name below it; where delegations are not looked at, nothing is said of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from dns.name import Name
from dns.rdatatype import RdataType

from control.dns.outcome import Outcome
from control.dns.ownership import LOOK_TIMEOUT, Ownership, absolute
from control.dns.resolver import Resolver
from control.dns.sighting import Code, Expected, Place, Sighting, addresses, explain, judged, normal, sight
from core.domain import Domain, Finding
from core.target import tenant_target

# What says that the tenant's delegation stands, and what says that it does not (control.dns.delegation).
STANDS = frozenset({"delegation_found", "delegation_propagating", "delegation_zone_broken"})
GONE = frozenset({"delegation_missing", "delegation_elsewhere", "delegation_hidden", "delegation_name_too_long"})

# Whether a request for the domain on port 80 of one of the addresses comes to the platform.
Probe = Callable[[Domain, frozenset[str]], Awaitable[bool]]
# What is at the domain's `_acme-challenge`.
LookAtDelegation = Callable[[Domain], Awaitable[Finding]]

log = structlog.get_logger(__name__)


class Presence:
    """`platform_target`: below which each tenant has its CNAME target. `apex`: the platform's addresses for apexes.

    `look_at_delegation`: where DNS-01 is used.
    """

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        platform_target: str,
        apex: Sequence[str],
        clock: Callable[[], datetime],
        timeout: float = LOOK_TIMEOUT,
        look_at_delegation: LookAtDelegation | None = None,
        probe: Probe | None = None,
    ) -> None:
        self._resolvers = resolvers
        self._platform_target = platform_target.removesuffix(".").lower()
        self._apex = frozenset(normal(address.encode()) for address in apex)
        self._clock = clock
        self._timeout = timeout
        self._look_at_delegation = look_at_delegation
        self._probe = probe
        self._ownership = Ownership(resolvers, platform_target, clock, timeout)

    async def look(self, domain: Domain, *, arrived: bool, contested: bool) -> tuple[Place, Finding]:
        """`arrived`: it was seen here before. `contested`: another tenant has proved it.

        Raises what the probe raises, and nothing for what resolvers do or fail to do.
        """
        expected = self._expected(domain, self._apex)
        wildcard = domain.hostname.startswith("*.")
        if wildcard and self._look_at_delegation is None:
            sighting = explain(expected, "unknown", Code.NOT_KNOWN, (), ())
        else:
            sighting = await self._sight(domain, expected)
        if sighting.code is Code.ADDRESSES_ELSEWHERE and not wildcard and await self._is_proxied(domain, sighting):
            sighting = judged(sighting, expected, "here", Code.THROUGH_PROXY)
        if sighting.place == "elsewhere" and (wildcard or not arrived):
            sighting = await self._by_delegation(domain, expected, sighting)
        in_doubt = contested and sighting.place in ("here", "partly") and not sighting.by_own_target
        if in_doubt and await self._ownership.token_is_gone(domain):
            sighting = judged(sighting, expected, "elsewhere", Code.OWNERSHIP_CONTESTED)
        return sighting.place, Finding(sighting.code, sighting.message, sighting.who, self._clock(), sighting.detail)

    async def _sight(self, domain: Domain, expected: Expected) -> Sighting:
        asked = domain.hostname
        if asked.startswith("*."):
            asked = f"nameplate-{secrets.token_hex(6)}{asked.removeprefix('*')}"
        a, aaaa = await self._addresses(asked)
        sighting = sight(expected, a, aaaa)
        if sighting.code in (Code.ADDRESSES_ELSEWHERE, Code.ADDRESSES_MIXED):
            sighting = sight(self._expected(domain, await self._platform(domain)), a, aaaa)
        return sighting

    async def _platform(self, domain: Domain) -> frozenset[str] | None:
        """The platform's addresses: those for apexes, and those that the tenant's target has."""
        a, aaaa = await self._addresses(tenant_target(domain.target_label, self._platform_target))
        found = addresses(a, aaaa)
        if not found:
            log.warning("target_without_address", target=self._platform_target)
            return None
        return self._apex | found

    async def _is_proxied(self, domain: Domain, sighting: Sighting) -> bool:
        return self._probe is not None and await self._probe(domain, sighting.addresses)

    async def _by_delegation(self, domain: Domain, expected: Expected, sighting: Sighting) -> Sighting:
        if self._look_at_delegation is None:
            return sighting
        code = (await self._look_at_delegation(domain)).code
        if code in STANDS:
            return judged(sighting, expected, "here", Code.DELEGATED)
        return sighting if code in GONE else judged(sighting, expected, "unknown", Code.NOT_KNOWN)

    def _expected(self, domain: Domain, platform: frozenset[str] | None) -> Expected:
        own = tenant_target(domain.target_label, self._platform_target)
        return Expected(domain.hostname, domain.txt_name, own, self._platform_target, platform)

    async def _addresses(self, hostname: str) -> tuple[list[Outcome], list[Outcome]]:
        name = absolute(hostname)
        a, aaaa = await asyncio.gather(self._ask(name, RdataType.A), self._ask(name, RdataType.AAAA))
        return a, aaaa

    async def _ask(self, name: Name | None, rdtype: RdataType) -> list[Outcome]:
        if name is None:
            return []
        return await asyncio.gather(*(resolver.ask(name, rdtype, self._timeout) for resolver in self._resolvers))
