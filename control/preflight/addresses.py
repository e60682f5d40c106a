"""Check 1: A and AAAA both lead to us, which is to the set addresses of the platform or by CNAME to its target.

An address that is not ours may be a proxy's before us: then our token is found behind it (check 5), and nothing blocks.
The target of another tenant blocks always, also where the certificate takes no address.
Resolvers that fail say nothing here; among those that answer, the worst decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from control.dns.outcome import Answer, Definitive, NoName, Outcome
from control.preflight import show
from control.preflight.codes import Code
from control.preflight.questions import Address, found
from control.preflight.report import Check, check
from core.target import foreign_target

NAME = "addresses"


@dataclass(frozen=True, slots=True)
class Platform:
    """Where names shall lead. `target`: the tenant's own for CNAMEs. `shared`: the one that all tenants' are below.

    `apex`: the addresses that are set. `resolved`: those that the target has in DNS.
    """

    target: str
    shared: str = ""
    apex: frozenset[Address] = frozenset()
    resolved: frozenset[Address] = frozenset()

    @property
    def all(self) -> frozenset[Address]:
        return self.apex | self.resolved

    def of(self, version: int) -> list[Address]:
        return [one for one in self.all if one.version == version]

    @property
    def remedy(self) -> str:
        """What the tenant may do, in words."""
        records = [
            f"{kind} {' and '.join(show.listed(one for one in self.apex if one.version == version))}"
            for kind, version in (("A", 4), ("AAAA", 6))
            if any(one.version == version for one in self.apex)
        ]
        return " or, at an apex, ".join(
            [f"make it a CNAME to {self.target}", *([" with ".join(records)] if records else [])]
        )


def foreign(platform: Platform, outcomes: Sequence[Outcome]) -> frozenset[Address]:
    """The addresses in these answers that are not the platform's. A CNAME to the target makes them its own."""
    return frozenset().union(
        *(found([one]) - platform.all for one in outcomes if isinstance(one, Answer) and not led(platform, one))
    )


def led(platform: Platform, outcome: Outcome) -> bool:
    return isinstance(outcome, Definitive) and not {platform.target, platform.shared}.isdisjoint(outcome.chain)


def examine(
    hostname: str,
    platform: Platform,
    a: Sequence[Outcome],
    aaaa: Sequence[Outcome],
    answering: Collection[Address],
    *,
    harmless: bool = False,
) -> Check:
    """`answering`: the addresses behind which our token was found. One outcome a resolver in `a` and `aaaa`."""
    code = decide(platform, a, aaaa, answering)
    remedy = platform.remedy
    if code is Code.IPV6_ELSEWHERE:
        ours = show.listed(platform.of(6))
        remedy = f"remove it or make it {' and '.join(ours)}" if ours else "remove it, since the platform has no IPv6"
    elif code is Code.IPV4_ELSEWHERE and platform.of(4):
        remedy = f"make it {' and '.join(show.listed(platform.of(4)))}"
    return check(
        NAME,
        code,
        _expected(platform),
        {
            "A": show.listed(found(a)),
            "AAAA": show.listed(found(aaaa)),
            "cname": show.texts(link for one in (*a, *aaaa) if isinstance(one, Definitive) for link in one.chain),
            "resolvers": {"A": show.words(a), "AAAA": show.words(aaaa)},
        },
        harmless=harmless and code is not Code.ADDRESSES_AT_OTHER_TENANT,
        hostname=hostname,
        target=platform.target,
        remedy=remedy,
    )


def _expected(platform: Platform) -> dict[str, Any]:
    return {"cname": platform.target, "A": show.listed(platform.of(4)), "AAAA": show.listed(platform.of(6))}


def decide(platform: Platform, a: Sequence[Outcome], aaaa: Sequence[Outcome], answering: Collection[Address]) -> Code:
    # It leads here, but not for this tenant: no CA could tell, since all targets have the same addresses.
    if any(_is_anothers(platform, one) for one in (*a, *aaaa)):
        return Code.ADDRESSES_AT_OTHER_TENANT
    strange = (foreign(platform, a), foreign(platform, aaaa))
    here = [any(_here(platform, one) for one in outcomes) for outcomes in (a, aaaa)]
    if any(strange):
        if not platform.all and not any(here):
            return Code.PLATFORM_ADDRESSES_UNKNOWN
        if strange[0] | strange[1] <= set(answering):
            return Code.ADDRESSES_PROXIED
        if all(_disputed(platform, outcomes) for outcomes, some in zip((a, aaaa), strange, strict=True) if some):
            return Code.ADDRESSES_PROPAGATING
        if here[0] and not strange[0]:
            return Code.IPV6_ELSEWHERE
        if here[1] and not strange[1]:
            return Code.IPV4_ELSEWHERE
        return Code.ADDRESSES_ELSEWHERE
    # One outcome a resolver in each: does any of them see no address at all?
    empty = [pair for pair in zip(a, aaaa, strict=True) if all(_none(one) for one in pair)]
    if empty and any(here):
        return Code.ADDRESSES_PROPAGATING
    if empty:
        if any(led(platform, one) for pair in empty for one in pair):
            return Code.PLATFORM_ADDRESSES_UNKNOWN
        return (
            Code.NAME_MISSING
            if all(isinstance(one, NoName) for pair in empty for one in pair)
            else (Code.ADDRESSES_MISSING)
        )
    return Code.ADDRESSES_HERE if any(here) else Code.ADDRESSES_UNKNOWN


def _here(platform: Platform, outcome: Outcome) -> bool:
    return isinstance(outcome, Answer) and not foreign(platform, [outcome])


def _is_anothers(platform: Platform, outcome: Outcome) -> bool:
    chain = outcome.chain if isinstance(outcome, Definitive) else ()
    return bool(platform.shared) and foreign_target(chain, platform.target, platform.shared) is not None


def _none(outcome: Outcome) -> bool:
    return isinstance(outcome, Definitive) and not isinstance(outcome, Answer)


def _disputed(platform: Platform, outcomes: Sequence[Outcome]) -> bool:
    """Whether a resolver answers that sees nothing strange."""
    return any(isinstance(one, Definitive) and not foreign(platform, [one]) for one in outcomes)
