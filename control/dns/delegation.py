"""Whether the tenant's CNAME at `_acme-challenge.<host>` leads to the domain's name in the platform's zone.

The TXT records there are asked for, as the CA does: the answer carries the CNAME chain, whatever is at its end.

| what a resolver shows | code |
| --- | --- |
| a chain with our name in it | delegation_found; delegation_propagating where others show none |
| a TXT record at the name itself | delegation_hidden: no CNAME can stand beside it, and the CA reads it |
| a chain elsewhere | delegation_elsewhere |
| the name without TXT and CNAME, or no name | delegation_missing |
| our CNAME, but a failure behind it | delegation_zone_broken: the platform's zone cannot be resolved |
| a failure otherwise | that of the resolver: dns_servfail, … |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dns.rdatatype import RdataType

from control.dns.outcome import Answer, Definitive, Outcome, ServFail
from control.dns.ownership import LOOK_TIMEOUT, absolute
from control.dns.resolver import Resolver
from control.dns.verdict import FAILURE_CODES, chain, shown, values
from core.delegation import challenge_name, delegated_name, has_room
from core.domain import Domain, Finding


class Seen(StrEnum):
    """What one resolver shows; the values stand in the order of what is told first when none is right."""

    RIGHT = "found"
    HIDDEN = "txt"
    ELSEWHERE = "other"
    MISSING = "missing"
    BROKEN = "behind"
    UNKNOWN = "unknown"


# code → who can mend it, and the sentence, over the names of `Question`.
EXPLANATIONS: Mapping[str, tuple[str, str]] = {
    "delegation_found": ("nobody", "{name} leads to {expected}."),
    "delegation_propagating": (
        "nobody",
        "Some resolvers see {name} lead to {expected} and others not yet; it takes a while to spread.",
    ),
    "delegation_hidden": (
        "tenant",
        "{name} has a TXT record of its own, which hides the delegation; remove it and add a CNAME to {expected}.",
    ),
    "delegation_elsewhere": (
        "tenant",
        "{name} leads elsewhere, by its own CNAME or by a wildcard that catches it; give it a CNAME to {expected}.",
    ),
    "delegation_missing": ("tenant", "{name} has no CNAME; add one to {expected}."),
    "delegation_zone_broken": ("operator", "{name} leads to {expected}, which cannot be resolved."),
    "delegation_name_too_long": ("tenant", "{name} is longer than DNS names may be."),
    "dns_servfail": (
        "tenant",
        "{name} cannot be resolved (SERVFAIL): the domain's name servers fail, or its DNSSEC is broken.",
    ),
    "dns_refused": ("operator", "The platform's resolvers refuse to answer."),
    "dns_timeout": ("operator", "The platform's resolvers did not answer in time; they are asked again."),
    "dns_unreachable": ("operator", "The platform's resolvers cannot be reached."),
    "dns_malformed": ("operator", "The platform's resolvers sent answers that cannot be read."),
}
CODES: Mapping[Seen, str] = {
    Seen.HIDDEN: "delegation_hidden",
    Seen.ELSEWHERE: "delegation_elsewhere",
    Seen.MISSING: "delegation_missing",
    Seen.BROKEN: "delegation_zone_broken",
}
DECIDED = frozenset({Seen.RIGHT, Seen.HIDDEN, Seen.ELSEWHERE, Seen.MISSING})


@dataclass(frozen=True, slots=True)
class Reply:
    """One resolver's: to the question for TXT, and, if that fails, to the question for the CNAME alone."""

    txt: Outcome
    cname: Outcome | None = None

    def seen(self, expected: str) -> Seen:
        links = self.links()
        if isinstance(self.txt, Definitive):
            if links:
                return Seen.RIGHT if expected in links else Seen.ELSEWHERE
            return Seen.HIDDEN if isinstance(self.txt, Answer) else Seen.MISSING
        if links:
            return Seen.BROKEN if expected in links else Seen.ELSEWHERE
        return Seen.MISSING if isinstance(self.cname, Definitive) else Seen.UNKNOWN

    def links(self) -> tuple[str, ...]:
        """The CNAME targets, in order, without final dots."""
        if isinstance(self.cname, Answer):
            return tuple(value.decode().rstrip(".").lower() for value in self.cname.values)
        return chain(self.txt)


def decide(expected: str, replies: Sequence[Reply]) -> str:
    """The code for all resolvers together; at least one."""
    seen = {reply.seen(expected) for reply in replies}
    if Seen.RIGHT in seen:
        return "delegation_found" if seen & DECIDED == {Seen.RIGHT} else "delegation_propagating"
    for kind, code in CODES.items():
        if kind in seen:
            return code
    kinds = {type(reply.txt) for reply in replies}
    return next((str(code) for kind, code in FAILURE_CODES.items() if kind in kinds), "dns_unreachable")


class Delegation:
    """`resolvers`: at least one. `zone`: the platform's, without a final dot."""

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        zone: str,
        clock: Callable[[], datetime],
        timeout: float = LOOK_TIMEOUT,
    ) -> None:
        if not resolvers:
            raise ValueError("There is no resolver to ask.")
        self._resolvers = resolvers
        self._zone = zone
        self._clock = clock
        self._timeout = timeout

    def name(self, domain: Domain) -> str:
        """What the CNAME leads to."""
        return delegated_name(domain.acme_label, self._zone)

    async def look(self, domain: Domain) -> Finding:
        """`delegation_found` and nothing else says that the CA will find what is written at the name.

        Never raises for what resolvers do or fail to do; ends within twice the timeout.
        """
        name, expected = challenge_name(domain.hostname), self.name(domain)
        if not has_room(domain.hostname):
            return self._finding("delegation_name_too_long", name, expected, ())
        replies = await asyncio.gather(*(self._ask(resolver, name) for resolver in self._resolvers))
        return self._finding(decide(expected, replies), name, expected, replies)

    async def _ask(self, resolver: Resolver, name: str) -> Reply:
        asked = absolute(name)
        assert asked is not None  # noqa: S101 -- there is room
        txt = await resolver.ask(asked, RdataType.TXT, self._timeout)
        if not isinstance(txt, ServFail):
            return Reply(txt)
        return Reply(txt, await resolver.ask(asked, RdataType.CNAME, self._timeout))

    def _finding(self, code: str, name: str, expected: str, replies: Sequence[Reply]) -> Finding:
        who, sentence = EXPLANATIONS[code]
        detail: dict[str, Any] = {
            "name": name,
            "expected": expected,
            "found": shown(link.encode() for reply in replies for link in reply.links()),
            "resolvers": {reply.txt.resolver: str(reply.seen(expected)) for reply in replies},
        }
        if code == "delegation_hidden":
            detail["found"] = shown(value for reply in replies for value in values(reply.txt))
        return Finding(code, sentence.format(name=name, expected=expected), who, self._clock(), detail)
