"""What the data path may know of a live name, and which rows may answer for a host.

Resolution order of a host in normal form (core.hostname):
1. below the platform's domain: the tenant whose slug is the one label in front of it, and nothing else;
2. the row of the very name;
3. the wildcard row `*.` + everything after the first label: a wildcard stands for exactly one label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Entry:
    """`hostname`: normal form; `*.example.com` for a wildcard row, `<slug>.<platform domain>` for a platform subdomain.

    `tenant_id`, `domain_id`: UUID text; a platform subdomain has no domain ("").
    `live`: authz may say OK. True as soon as the certificate is issued: control says `active` once the sidecars have
    read that, so a visitor who comes because the API says `active` is served. A platform subdomain is live always.
    `fingerprint`, `vault_version`: of the certificate to serve; None: none yet, or (`platform`) the default one.
    `not_after`: Unix seconds.
    """

    hostname: str
    tenant_id: str
    domain_id: str
    live: bool
    fingerprint: str | None
    vault_version: int | None
    not_after: float | None
    platform: bool


class Unknown(Enum):
    ABSENT = "absent"  # known to be absent: no I/O is needed to say no
    MISS = "miss"  # not known: load it


def wildcard_of(host: str) -> str:
    """The row that stands for `host` when it has none of its own: `a.b.example` → `*.b.example`."""
    return "*." + host.partition(".")[2]


class PlatformDomain:
    """The platform's own domain, in normal form; the names below it belong to tenants by their slug alone."""

    __slots__ = ("_suffix", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._suffix = "." + name

    def subdomain(self, slug: str) -> str:
        return slug + self._suffix

    def slug(self, host: str) -> str | None:
        """The one label in front of the platform's domain; None for any other host."""
        label, _, parent = host.partition(".")
        return label if parent == self.name and label != "*" else None

    def owns(self, host: str) -> bool:
        """Whether it is the platform's domain or below it, a wildcard included."""
        return host.endswith(self._suffix) or host == self.name

    def keys(self, host: str) -> tuple[str, ...]:
        """The rows that may answer for `host`, first come first."""
        if self.owns(host):
            return () if self.slug(host) is None else (host,)
        return (host, wildcard_of(host))
