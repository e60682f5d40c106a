"""The pre-flight: what a CA would meet, looked at before an order is spent on it.

    DNS       A, AAAA, CAA at the name and all its parents, the platform's target; every resolver, all at once
    then      where a question failed, the same with DNSSEC checking disabled; our token over HTTP at each address
    meanwhile the delegation of the DNS challenge

The judgements are pure, one file a check. The bounds of the two steps add up to less than WITHIN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from dns.rdatatype import RdataType

from control.dns.caa import climb
from control.dns.resolver import Resolver
from control.outbox.guard import Network
from control.preflight import addresses, caa, delegation, dnssec, port80
from control.preflight.addresses import Platform
from control.preflight.probe import HTTP, HTTPS, Probe, Prober, ProbeToken, has_route
from control.preflight.questions import Address, Key, Questions, found, latest
from control.preflight.report import CaFacts, Challenge, Check, Report
from core.domain import Domain, Finding
from core.target import tenant_target

WITHIN = 5.0  # seconds for a whole examination
DNS_WITHIN = 2.3  # of them for the first questions: one attempt of 2 s, and the beginning of another
NEXT_WITHIN = 2.5  # and for what follows from their answers

# Looks at a domain's delegation; must not raise.
Delegation = Callable[[Domain], Awaitable[Finding]]


class Preflight:
    """`platform_target`: below which each tenant has its CNAME target. `delegation`: where DNS-01 is set up.

    `apex_ipv4`, `apex_ipv6`: the platform's addresses for apexes; these may be private. `port`, `https_port`: where
    names are expected to answer; CAs know no others than these defaults. `allowed`: networks that names may lead to
    although they are not public. `route`: whether packets can leave for an address. The bounds are in seconds.
    """

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        platform_target: str,
        apex_ipv4: Iterable[IPv4Address] = (),
        apex_ipv6: Iterable[IPv6Address] = (),
        delegation: Delegation | None = None,
        *,
        port: int = HTTP,
        https_port: int = HTTPS,
        allowed: Sequence[Network] = (),
        route: Callable[[Address], bool] = has_route,
        dns_within: float = DNS_WITHIN,
        next_within: float = NEXT_WITHIN,
    ) -> None:
        if not resolvers:
            raise ValueError("There is no resolver to ask.")
        self._resolvers = resolvers
        self._shared_target = platform_target.removesuffix(".").lower()
        self._apex: frozenset[Address] = frozenset((*apex_ipv4, *apex_ipv6))
        self._delegation = delegation
        self._ports = (port, https_port)
        self._allowed = allowed
        self._route = route
        self._dns_within = dns_within
        self._next_within = next_within

    async def examine(
        self,
        domain: Domain,
        authority_facts: Sequence[CaFacts],
        *,
        challenge: Challenge,
        token: ProbeToken | None,
    ) -> Report:
        """`token`: None leaves port 80 out, and a proxy before the platform cannot be told from another server.

        Never raises for what strangers' DNS and servers do, and ends within the bounds.
        """
        needs_address = challenge == "http-01" and not domain.hostname.startswith("*.")
        looking = asyncio.create_task(self._look(domain))
        try:
            questions, platform = await self._asked(domain, climb(domain.hostname))
            about = self._about(domain)
            (again, probes) = await asyncio.gather(
                questions.again(about, self._next_within), self._probes(domain, questions, platform, token)
            )
            look = await looking
        finally:
            looking.cancel()
        a, aaaa = _both(domain.hostname)
        caa_check, usable = caa.examine(
            domain.hostname,
            authority_facts,
            [
                (name, latest(questions.outcomes((name, RdataType.CAA)), again.get((name, RdataType.CAA), ())))
                for name in climb(domain.hostname)
            ],
            challenge,
        )
        checks: list[Check | None] = [
            dnssec.examine(
                domain.hostname,
                {key: questions.outcomes(key) for key in about},
                (a, aaaa) if needs_address else (),
                again,
                answered=questions.answered,
            ),
            addresses.examine(
                domain.hostname,
                platform,
                questions.outcomes(a),
                questions.outcomes(aaaa),
                port80.behind(probes or (), _there(domain, questions), platform.all),
                harmless=not needs_address,
            ),
            None
            if probes is None
            else port80.examine(domain.hostname, probes, platform.all, harmless=not needs_address),
            None
            if self._delegation is None
            else delegation.examine(domain.hostname, look, harmless=challenge != "dns-01"),
            caa_check,
        ]
        return Report([one for one in checks if one is not None], usable)

    async def _asked(self, domain: Domain, caa_names: Sequence[str]) -> tuple[Questions, Platform]:
        target = tenant_target(domain.target_label, self._shared_target)
        questions = Questions(self._resolvers)
        await questions.ask(
            [*_both(domain.hostname), *_both(target), *((name, RdataType.CAA) for name in caa_names)],
            self._dns_within,
        )
        resolved = found(outcome for key in _both(target) for outcome in questions.outcomes(key))
        return questions, Platform(target, self._shared_target, self._apex, resolved)

    def _about(self, domain: Domain) -> Sequence[Key]:
        """The questions about the tenant's names."""
        return [*_both(domain.hostname), *((name, RdataType.CAA) for name in climb(domain.hostname))]

    async def _probes(
        self, domain: Domain, questions: Questions, platform: Platform, token: ProbeToken | None
    ) -> Sequence[Probe] | None:
        """None: no question is put on port 80."""
        if token is None or domain.hostname.startswith("*."):
            return None
        prober = Prober(platform.all, self._next_within, *self._ports, self._allowed, self._route)
        chosen = port80.chosen(_there(domain, questions))
        return await asyncio.gather(*(prober.probe(address, domain.hostname, token) for address in chosen))

    async def _look(self, domain: Domain) -> Finding | None:
        """None: there is none to look at, or it took too long."""
        if self._delegation is None:
            return None
        try:
            async with asyncio.timeout(self._dns_within + self._next_within):
                return await self._delegation(domain)
        except TimeoutError:
            return None


def _there(domain: Domain, questions: Questions) -> frozenset[Address]:
    """All addresses that any resolver sees at the name."""
    return found(outcome for key in _both(domain.hostname) for outcome in questions.outcomes(key))


def _both(name: str) -> tuple[Key, Key]:
    return (name, RdataType.A), (name, RdataType.AAAA)
