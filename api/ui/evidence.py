"""What the last looks saw of each record, read from the findings and from a diagnosis. Pure.

What is read is JSON that control wrote, of whatever version: what is not of the shape that is known here is left out.

| subject | where it stands |
| --- | --- |
| txt, cname | `dns_finding` of a name that is to be proven; the diagnosis' check `ownership` |
| address | `dns_finding` of a name that is watched; `ssl_finding` and the diagnosis, check `addresses` |
| delegation | `ssl_finding` and the diagnosis, check `delegation` |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from core.domain import Domain, Finding

State = Literal["found", "spreading", "other", "missing", "unknown", "unchecked"]
Subject = Literal["txt", "cname", "address", "delegation"]

MOST_VALUES, MOST_RESOLVERS, LONGEST = 10, 16, 255

# What one resolver said (control.dns.verdict.describe, control.dns.delegation.Seen) → what that means, and in words.
SAID: Mapping[str, tuple[State, str]] = {
    "found": ("found", "sees it"),
    "other": ("other", "sees another value"),
    "txt": ("other", "sees a TXT record in its place"),
    "nodata": ("missing", "does not see it yet"),
    "missing": ("missing", "does not see it yet"),
    "nxdomain": ("missing", "does not see it yet"),
    "servfail": ("unknown", "cannot reach your name servers"),
    "behind": ("unknown", "sees it, but not what is behind it"),
    "refused": ("unknown", "refuses to answer"),
    "timeout": ("unknown", "did not answer in time"),
    "unreachable": ("unknown", "could not be reached"),
    "malformed": ("unknown", "sent an answer that cannot be read"),
    "unknown": ("unknown", "could not tell"),
}
COULD_NOT_TELL: tuple[State, str] = ("unknown", "could not tell")

# Of a look at addresses the code says more than the resolvers' words: whether those that were found are the right ones.
ADDRESSES: Mapping[str, State] = {
    "addresses_here": "found",
    "at_platform": "found",
    "addresses_proxied": "found",
    "through_proxy": "found",
    "addresses_propagating": "spreading",
    "addresses_elsewhere": "other",
    "addresses_at_other_tenant": "other",
    "at_other_tenant": "other",
    "addresses_mixed": "other",
    "ipv4_elsewhere": "other",
    "ipv6_elsewhere": "other",
    "delegated": "other",
    "addresses_missing": "missing",
    "no_address": "missing",
    "name_missing": "missing",
}


@dataclass(frozen=True, slots=True)
class Sight:
    """What one resolver sees. `resolver`: its address."""

    resolver: str
    state: State
    words: str


@dataclass(frozen=True, slots=True)
class Look:
    """`values`: what is there, right or wrong."""

    state: State
    values: tuple[str, ...] = ()
    sights: tuple[Sight, ...] = ()
    at: datetime | None = None

    @property
    def seeing(self) -> int:
        """How many resolvers see what is right."""
        return sum(one.state == "found" for one in self.sights)


UNCHECKED = Look("unchecked")


def evidence(
    domain: Domain, report: Mapping[str, Any] | None = None, reported_at: datetime | None = None
) -> Mapping[Subject, Look]:
    """The newest look at each; a subject that was not looked at is not in it. `report`: of a diagnosis, as JSON."""
    looks: dict[Subject, Look] = {}
    ssl = domain.ssl_finding
    # As in the REST API: what only the operator can mend is told to tenants without the platform's inside.
    told = (domain.dns_finding, None if ssl is not None and ssl.who == "operator" else ssl)
    findings = [one for one in told if one is not None]
    for finding in sorted(findings, key=lambda one: one.at):
        looks |= _of_finding(domain, finding)
    for check in _list((report or {}).get("checks")):
        looks |= _of_check(_map(check), reported_at)
    return looks


def _of_finding(domain: Domain, finding: Finding) -> Mapping[Subject, Look]:
    detail = _map(finding.detail)
    if "check" in detail:
        return _of_check({**detail, "code": finding.code}, finding.at)
    name = detail.get("name")
    if name == domain.txt_name:
        return _proof(detail, finding.at)
    if name == domain.hostname.removeprefix("*.") and finding.code in ADDRESSES:
        families = {one: _map(said) for one, said in _map(detail.get("resolvers")).items()}
        words = {one: [*map(str, said.values())] for one, said in families.items()}
        return {"address": _addresses(finding.code, _texts(detail.get("found")), words, finding.at)}
    return {}


def _of_check(check: Mapping[str, Any], at: datetime | None) -> Mapping[Subject, Look]:
    found = _map(check.get("found"))
    match check.get("check"):
        case "ownership":
            return _proof(found, at)
        case "delegation":
            return {"delegation": _look(found, at)}
        case "addresses":
            return {"address": _address_check(str(check.get("code")), found, at)}
        case _:
            return {}


def _proof(detail: Mapping[str, Any], at: datetime | None) -> Mapping[Subject, Look]:
    looks: dict[Subject, Look] = {"txt": _look(detail, at)}
    if cname := _map(detail.get("cname")):
        looks["cname"] = _look(cname, at)
    return looks


def _address_check(code: str, found: Mapping[str, Any], at: datetime | None) -> Look:
    values = [*_texts(found.get("cname")), *_texts(found.get("A")), *_texts(found.get("AAAA"))]
    words: dict[str, list[str]] = {}
    for said in _map(found.get("resolvers")).values():
        for resolver, word in _map(said).items():
            words.setdefault(str(resolver), []).append(str(word))
    return _addresses(code, values, words, at)


def _addresses(code: str, values: Sequence[str], words: Mapping[str, Sequence[str]], at: datetime | None) -> Look:
    """`words`: of each resolver, one for A and one for AAAA; one that has either sees the name."""
    state = ADDRESSES.get(code, "unknown")
    sights = []
    for resolver, said in list(words.items())[:MOST_RESOLVERS]:
        seen = {word.partition(":")[0] for word in said}
        if seen & {"found", "other"}:
            right = state == "found" or (state == "spreading" and "found" in seen)
            sights.append(Sight(_resolver(resolver), "found", "sees it lead here") if right else _elsewhere(resolver))
        else:
            meant, in_words = SAID.get(next(iter(sorted(seen)), ""), COULD_NOT_TELL)
            sights.append(Sight(_resolver(resolver), meant, in_words))
    return Look(state, tuple(dict.fromkeys(values))[:MOST_VALUES], tuple(sights), at)


def _elsewhere(resolver: str) -> Sight:
    return Sight(_resolver(resolver), "other", "sees it lead elsewhere")


def _look(detail: Mapping[str, Any], at: datetime | None) -> Look:
    sights = []
    for resolver, word in list(_map(detail.get("resolvers")).items())[:MOST_RESOLVERS]:
        state, words = SAID.get(str(word).partition(":")[0], COULD_NOT_TELL)
        sights.append(Sight(_resolver(str(resolver)), state, words))
    return Look(together(one.state for one in sights), _texts(detail.get("found")), tuple(sights), at)


def together(states: Iterable[State]) -> State:
    """Of all resolvers: right where all that can tell say so, and otherwise the most telling of what is wrong."""
    told = set(states) - {"unknown", "unchecked"}
    if "found" in told:
        return "found" if told == {"found"} else "spreading"
    return next((one for one in ("other", "missing") if one in told), "unknown")


def _resolver(name: str) -> str:
    return name.removesuffix(":53").strip("[]")[:LONGEST]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one[:LONGEST] for one in _list(value) if isinstance(one, str))[:MOST_VALUES]
