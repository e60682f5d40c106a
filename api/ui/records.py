"""The DNS records that a tenant is to set, as the forms of DNS providers ask for them, and what was seen of each. Pure.

| a hostname is | it needs |
| --- | --- |
| a subdomain | TXT, and a CNAME; the platform's addresses where a CNAME cannot be |
| an apex (a registered domain itself, which can have no CNAME) | TXT, and A and AAAA; a provider's ALIAS does too |
| a wildcard | TXT and the CNAME of the DNS challenge, at its parent, and a CNAME for the wildcard itself |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.instructions import Target, instructions
from api.service import PROVEN_STATUSES
from api.ui.evidence import UNCHECKED, Look, State, Subject
from core.domain import Domain

Kind = Literal["subdomain", "apex", "wildcard"]

STATES: Mapping[State, str] = {
    "found": "Found",
    "spreading": "Spreading",
    "other": "Another value",
    "missing": "Not there yet",
    "unknown": "Could not be looked up",
    "unchecked": "Not looked up yet",
}


@dataclass(frozen=True, slots=True)
class Record:
    """`host`: the name within the DNS zone, as most forms want it; `name`: the whole name. `id`: within the page."""

    id: str
    type: str
    host: str
    name: str
    value: str
    look: Look = UNCHECKED

    @property
    def words(self) -> str:
        return STATES[self.look.state]


@dataclass(frozen=True, slots=True)
class Step:
    """Records that belong together. `done`: nothing is left to do. `others`: what does as well, and `instead` when.

    `optional`: it works without.
    """

    id: str
    title: str
    why: str
    records: tuple[Record, ...]
    done: bool = False
    optional: bool = False
    instead: str = ""
    others: tuple[Record, ...] = ()


def kind_of(hostname: str, zone: str) -> Kind:
    """`zone`: the registered domain, by the Public Suffix List."""
    if hostname.startswith("*."):
        return "wildcard"
    return "apex" if hostname == zone else "subdomain"


def host_of(name: str, zone: str) -> str:
    """The part of the name that stands before the zone: @ for the zone itself."""
    if name == zone:
        return "@"
    return name.removesuffix(f".{zone}") if name.endswith(f".{zone}") else name


def steps(
    domain: Domain, target: Target, looks: Mapping[Subject, Look], registered_domain: Callable[[str], str]
) -> Sequence[Step]:
    """In the order in which they are best taken. `registered_domain`: of a hostname without a wildcard."""
    zone = registered_domain(domain.hostname.removeprefix("*."))
    kind = kind_of(domain.hostname, zone)
    told = instructions(domain, target)
    prove = _prove(domain, kind, told, looks, zone)
    point = _point(domain, kind, told, looks, zone)
    if "challenge" not in told:
        return (prove, point)
    challenge = _challenge(domain, kind, told, looks, zone)
    return (prove, challenge, point) if kind == "wildcard" else (prove, point, challenge)


def _prove(domain: Domain, kind: Kind, told: Mapping[str, Any], looks: Mapping[Subject, Look], zone: str) -> Step:
    proven = domain.status in PROVEN_STATUSES
    by_cname = proven and domain.verified_by == "cname"
    why = (
        "The CNAME below has proven it already. This record keeps the name yours whatever happens to that one."
        if by_cname
        else "A record that only the domain’s owner can set. Leave it in place."
    )
    if kind == "subdomain" and not proven:
        why += " If you point the name here at once, by the CNAME below, that is proof enough."
    records = _records("verification", told, looks.get("txt", UNCHECKED), zone)
    return Step("prove", "Prove that the name is yours", why, records, done=proven, optional=by_cname)


def _point(domain: Domain, kind: Kind, told: Mapping[str, Any], looks: Mapping[Subject, Look], zone: str) -> Step:
    look = looks.get("address") or looks.get("cname") or UNCHECKED
    done = look.state == "found" or (domain.status == "active" and look.state == "unchecked")
    cname = _records("subdomain", told, look, zone)
    addresses = (*_records("apex", told, look, zone), *_records("apexIpv6", told, look, zone))
    if kind == "apex" and addresses:
        why = "Visitors come to us by these. Remove any other A and AAAA records of the name."
        instead = "Your provider offers ALIAS, ANAME or a flattened CNAME? Then this one record does as well."
        return Step("point", "Point it here", why, addresses, done, instead=instead, others=_as("ALIAS", cname))
    if kind == "apex":
        why = "The top of a domain takes no plain CNAME: choose ALIAS, ANAME or CNAME flattening at your provider."
        return Step("point", "Point it here", why, _as("ALIAS", cname), done)
    why = "Visitors come to us by this record. Remove any other record of the same name."
    instead = "Your provider does not take a CNAME here? Then set addresses instead."
    return Step("point", "Point it here", why, cname, done, instead=instead if addresses else "", others=addresses)


def _challenge(domain: Domain, kind: Kind, told: Mapping[str, Any], looks: Mapping[Subject, Look], zone: str) -> Step:
    look = looks.get("delegation", UNCHECKED)
    records = _records("challenge", told, look, zone)
    done = look.state == "found" or (kind == "wildcard" and domain.certificate is not None and look is UNCHECKED)
    if kind == "wildcard":
        why = "The certificate of a wildcard is validated by DNS alone. Set it once; renewals need no change."
        return Step("challenge", "Let us get the certificate", why, records, done)
    why = "With this record, the certificate is ready before your visitors are led here: no moment without it."
    return Step("challenge", "Move without a gap", why, records, done, optional=True)


def _records(key: str, told: Mapping[str, Any], look: Look, zone: str) -> tuple[Record, ...]:
    if key not in told:
        return ()
    one = told[key]
    return tuple(
        Record(f"{key.lower()}-{number}", one["type"], host_of(one["name"], zone), one["name"], value, look)
        for number, value in enumerate(one.get("values", [one["value"]]))
    )


def _as(kind: str, records: Sequence[Record]) -> tuple[Record, ...]:
    return tuple(Record(f"alias-{n}", kind, one.host, one.name, one.value, one.look) for n, one in enumerate(records))
