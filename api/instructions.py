"""The DNS records that a tenant is asked to make, in the words of seed 002."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.delegation import challenge_name, delegated_name, has_room
from core.domain import Domain
from core.target import tenant_target


@dataclass(frozen=True, slots=True)
class Target:
    """Where custom hostnames point to: the CNAME of subdomains, the addresses of apexes (which cannot have a CNAME).

    `cname`: the platform's; each tenant has its own below it. `acme_zone`: where DNS-01 is answered for tenants, if it
    is offered.
    """

    cname: str
    ipv4: Sequence[str] = ()
    ipv6: Sequence[str] = ()
    acme_zone: str | None = None

    def challenges(self, hostname: str) -> Sequence[str]:
        """The ways by which a CA can be shown control of a hostname; empty for a wildcard that has none here."""
        dns = ("dns-01",) if self.acme_zone is not None and has_room(hostname) else ()
        return dns if hostname.startswith("*.") else ("http-01", *dns)


def instructions(domain: Domain, target: Target) -> Mapping[str, Any]:
    """`subdomain` or `apex` is to be made, and `verification`. An address record stands for each configured family.

    `challenge`: a wildcard needs it; any other hostname has its certificate before its traffic moves if it is there.
    """
    records = {"subdomain": _record("CNAME", domain.hostname, [tenant_target(domain.target_label, target.cname)])}
    if target.ipv4:
        records["apex"] = _record("A", domain.hostname, target.ipv4)
    if target.ipv6:
        records["apexIpv6"] = _record("AAAA", domain.hostname, target.ipv6)
    records["verification"] = _record("TXT", domain.txt_name, [domain.txt_value])
    if target.acme_zone is not None and "dns-01" in target.challenges(domain.hostname):
        leads_to = delegated_name(domain.acme_label, target.acme_zone)
        records["challenge"] = _record("CNAME", challenge_name(domain.hostname), [leads_to])
    return records


def _record(kind: str, name: str, values: Sequence[str]) -> dict[str, Any]:
    """`values` is there only when one record is not enough; it then lists all, `value` is the first."""
    record: dict[str, Any] = {"type": kind, "name": name, "value": values[0]}
    if len(values) > 1:
        record["values"] = list(values)
    return record
