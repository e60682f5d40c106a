"""Where a name leads, by what the resolvers say of its addresses, taken together. Pure: no I/O, no clock.

here       a resolver sees it lead to the tenant's own target, or to the one that all tenants once shared, or to
           addresses that are all the platform's
elsewhere  every resolver answers, and sees no such thing: no name, no address, other addresses only, or the target
           of another tenant
partly     some of its addresses are the platform's and some are not
unknown    a resolver could not tell (SERVFAIL, timeouts), or it is not known which addresses are the platform's

So one resolver that is behind, or fails, is enough to leave things as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Literal

from control.dns.outcome import Definitive, NoName, Outcome
from control.dns.verdict import chain, describe, shown, values
from core.target import foreign_target

Place = Literal["here", "elsewhere", "partly", "unknown"]


class Code(StrEnum):
    AT_PLATFORM = "at_platform"
    AT_OTHER_TENANT = "at_other_tenant"
    ADDRESSES_ELSEWHERE = "addresses_elsewhere"
    NO_ADDRESS = "no_address"
    NAME_MISSING = "name_missing"
    ADDRESSES_MIXED = "addresses_mixed"
    NOT_KNOWN = "place_not_known"
    THROUGH_PROXY = "through_proxy"
    DELEGATED = "delegated"
    OWNERSHIP_CONTESTED = "ownership_contested"


# code → who can mend it, and the sentence, over the fields of `Expected`.
EXPLANATIONS: dict[Code, tuple[str, str]] = {
    Code.AT_PLATFORM: ("nobody", "{hostname} leads to the platform."),
    Code.AT_OTHER_TENANT: (
        "tenant",
        "{hostname} leads to the target of another tenant of the platform; make it a CNAME to {own_target}.",
    ),
    Code.ADDRESSES_ELSEWHERE: (
        "tenant",
        "The addresses of {hostname} are not the platform's; make it a CNAME to {own_target}.",
    ),
    Code.NO_ADDRESS: ("tenant", "{hostname} has no address; make it a CNAME to {own_target}."),
    Code.NAME_MISSING: ("tenant", "{hostname} does not exist (NXDOMAIN); make it a CNAME to {own_target}."),
    Code.ADDRESSES_MIXED: (
        "tenant",
        "Some addresses of {hostname} are the platform's and some are not; remove the others.",
    ),
    Code.NOT_KNOWN: ("operator", "It could not be told where {hostname} leads."),
    Code.THROUGH_PROXY: (
        "nobody",
        "The addresses of {hostname} are not the platform's, and yet its requests come here.",
    ),
    Code.DELEGATED: (
        "nobody",
        "{hostname} does not lead here; the delegation of its DNS challenge does, which keeps its certificate.",
    ),
    Code.OWNERSHIP_CONTESTED: (
        "tenant",
        "Another tenant has proved {hostname}, and your TXT record is gone; add it again at {txt_name}, "
        "or make {hostname} a CNAME to {own_target}.",
    ),
}


@dataclass(frozen=True, slots=True)
class Expected:
    """`addresses`: the platform's, in normal form; None when they could not be asked for."""

    hostname: str
    txt_name: str
    own_target: str
    platform_target: str
    addresses: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """`addresses`: all that were seen. `by_own_target`: it leads here by the tenant's own CNAME target."""

    place: Place
    code: Code
    who: str
    message: str
    detail: dict[str, Any]
    addresses: frozenset[str] = frozenset()
    by_own_target: bool = False


def sight(expected: Expected, a: Sequence[Outcome], aaaa: Sequence[Outcome]) -> Sighting:
    """One outcome a resolver in each, in the same order."""
    seen = [seen_by(expected, four, six) for four, six in zip(a, aaaa, strict=True)]
    here = [one for one in seen if one[0] == "here"]
    outcomes = [*a, *aaaa]
    own = any(expected.own_target in chain(outcome) for outcome in outcomes)
    if here:
        return explain(expected, *here[0], a, aaaa, by_own_target=own)
    if seen and all(place == "elsewhere" for place, _ in seen):
        return explain(expected, "elsewhere", min((code for _, code in seen), key=list(Code).index), a, aaaa)
    if any(place == "partly" for place, _ in seen):
        return explain(expected, "partly", Code.ADDRESSES_MIXED, a, aaaa)
    return explain(expected, "unknown", Code.NOT_KNOWN, a, aaaa)


def seen_by(expected: Expected, four: Outcome, six: Outcome) -> tuple[Place, Code]:
    """What one resolver says."""
    links = [*chain(four), *chain(six)]
    if foreign_target(links, expected.own_target, expected.platform_target):
        return "elsewhere", Code.AT_OTHER_TENANT
    if expected.own_target in links or expected.platform_target in links:
        return "here", Code.AT_PLATFORM
    found = {normal(value) for outcome in (four, six) for value in values(outcome)}
    both = isinstance(four, Definitive) and isinstance(six, Definitive)
    if not found:
        missing = Code.NAME_MISSING if isinstance(four, NoName) or isinstance(six, NoName) else Code.NO_ADDRESS
        return ("elsewhere", missing) if both else ("unknown", Code.NOT_KNOWN)
    if expected.addresses is None:
        return "unknown", Code.NOT_KNOWN
    if found <= expected.addresses:
        return "here", Code.AT_PLATFORM
    if found & expected.addresses:
        return "partly", Code.ADDRESSES_MIXED
    return ("elsewhere", Code.ADDRESSES_ELSEWHERE) if both else ("unknown", Code.NOT_KNOWN)


def explain(
    expected: Expected,
    place: Place,
    code: Code,
    a: Sequence[Outcome],
    aaaa: Sequence[Outcome],
    *,
    by_own_target: bool = False,
) -> Sighting:
    who, message = words(expected, code)
    outcomes = [*a, *aaaa]
    detail = {
        "name": expected.hostname,
        "expected": [expected.own_target, *sorted(expected.addresses or ())],
        "found": shown(
            value for outcome in outcomes for value in (*values(outcome), *(link.encode() for link in chain(outcome)))
        ),
        "resolvers": {
            four.resolver: {"A": describe(four, place == "here"), "AAAA": describe(six, place == "here")}
            for four, six in zip(a, aaaa, strict=True)
        },
    }
    return Sighting(place, code, who, message, detail, addresses(a, aaaa), by_own_target)


def judged(sighting: Sighting, expected: Expected, place: Place, code: Code) -> Sighting:
    """The same facts in the light of others."""
    who, message = words(expected, code)
    return replace(sighting, place=place, code=code, who=who, message=message)


def words(expected: Expected, code: Code) -> tuple[str, str]:
    """Who can mend it, and the sentence."""
    who, sentence = EXPLANATIONS[code]
    fields = {"hostname": expected.hostname, "txt_name": expected.txt_name, "own_target": expected.own_target}
    return who, sentence.format(**fields)


def addresses(a: Sequence[Outcome], aaaa: Sequence[Outcome]) -> frozenset[str]:
    """All that any resolver shows."""
    return frozenset(normal(value) for outcome in (*a, *aaaa) for value in values(outcome))


def normal(value: bytes) -> str:
    """An address in its one spelling; what is none stays as it is, and is nobody's."""
    text = value.decode(errors="replace")
    try:
        return str(ip_address(text))
    except ValueError:
        return text
