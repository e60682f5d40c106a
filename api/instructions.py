"""The DNS records that a tenant is asked to make, in the words of seed 002."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.domain import Domain


@dataclass(frozen=True, slots=True)
class Target:
    """Where custom hostnames point to: the CNAME of subdomains, the addresses of apexes (which cannot have a CNAME)."""

    cname: str
    ipv4: Sequence[str] = ()
    ipv6: Sequence[str] = ()


def instructions(domain: Domain, target: Target) -> Mapping[str, Any]:
    """`subdomain` or `apex` is to be made, and `verification`. An address record stands for each configured family."""
    records = {"subdomain": _record("CNAME", domain.hostname, [target.cname])}
    if target.ipv4:
        records["apex"] = _record("A", domain.hostname, target.ipv4)
    if target.ipv6:
        records["apexIpv6"] = _record("AAAA", domain.hostname, target.ipv6)
    records["verification"] = _record("TXT", domain.txt_name, [domain.txt_value])
    return records


def _record(kind: str, name: str, values: Sequence[str]) -> dict[str, Any]:
    """`values` is there only when one record is not enough; it then lists all, `value` is the first."""
    record: dict[str, Any] = {"type": kind, "name": name, "value": values[0]}
    if len(values) > 1:
        record["values"] = list(values)
    return record
