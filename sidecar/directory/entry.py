"""What the data path may know of a live name, and which rows may answer for a host.

Resolution order of a host in normal form (core.hostname):
1. below the platform's domain: the tenant whose slug is the one label in front of it, and nothing else;
2. the row of the very name;
3. the wildcard row `*.` + everything after the first label: a wildcard stands for exactly one label.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from enum import Enum
from functools import partial
from uuid import UUID

LIVE, PLATFORM, CERTIFIED, UPLOADED, CLIENT_AUTH = 1, 2, 4, 8, 16
_head = struct.Struct("!B16s16s")  # flags, tenant, domain
_certificate = struct.Struct("!32sid")  # fingerprint, Vault version, not after
# Where the hostname begins, by the flags.
HOSTNAME_AT = tuple(_head.size + (_certificate.size if flags & CERTIFIED else 0) for flags in range(32))
_no_domain = UUID(int=0)


class Entry(bytes):
    """A row, packed into one immutable object: about 150 bytes of memory with its certificate, against 500 as fields.

    That lets a million names fit, and be looked up without making anything: a look-up returns the object itself, its
    hash is kept in it, and a row that changed is another object, so whatever is made of a row can be kept under it.
    Reading a field computes it (30 to 500 ns). Weighed against it: fields as slots (twice the memory), bytes that are
    wrapped at each look-up (an allocation, 150 ns), columns or a mapped file (a look-up in Python instead of a dict's).

    `hostname`: normal form; `*.example.com` for a wildcard row, `<slug>.<platform domain>` for a platform subdomain.
    `tenant_id`, `domain_id`: UUID text; a platform subdomain has no domain ("").
    `live`: authz may say OK. True as soon as the certificate is issued: control says `active` once the sidecars have
    read that, so a visitor who comes because the API says `active` is served. A platform subdomain is live always.
    `fingerprint`, `vault_version`: of the certificate to serve; None: none yet, or (`platform`) the default one.
    `fingerprint`: SHA-256, lower-case hexadecimal. `not_after`: Unix seconds. `uploaded`: the certificate is the
    tenant's own, which Vault has at another path, with versions of its own. `client_auth`: the domain asks for client
    certificates, so it must not be served by an edge (sidecar.edge) that does not know which.

    The bytes, in network byte order; queries.sql makes the same:
        flags 1 · tenant 16 · domain 16 · if CERTIFIED: fingerprint 32, Vault version 4, not after 8 (float) · hostname
    """

    __slots__ = ()

    def __new__(
        cls,
        hostname: str,
        tenant_id: str,
        domain_id: str,
        live: bool,
        fingerprint: str | None,
        vault_version: int | None,
        not_after: float | None,
        platform: bool,
        uploaded: bool = False,
        client_auth: bool = False,
    ) -> Entry:
        """Raises ValueError if a field is not what is said above."""
        if (domain_id == "") is not platform:
            raise ValueError("a row has a domain unless it is a platform subdomain")
        if uploaded and fingerprint is None:
            raise ValueError("what was uploaded is a certificate")
        if client_auth and platform:
            raise ValueError("a platform subdomain asks for no client certificates")
        flags = live * LIVE | platform * PLATFORM | (fingerprint is not None) * CERTIFIED
        flags |= uploaded * UPLOADED | client_auth * CLIENT_AUTH
        domain = _no_domain if platform else UUID(domain_id)
        packed = _head.pack(flags, UUID(tenant_id).bytes, domain.bytes)
        if fingerprint is not None:
            digest = bytes.fromhex(fingerprint)
            if len(digest) != 32:
                raise ValueError("not a SHA-256")
            packed += _certificate.pack(digest, vault_version or 0, math.nan if not_after is None else not_after)
        return unpack(packed + hostname.encode("ascii"))

    @property
    def live(self) -> bool:
        return self[0] & LIVE == LIVE

    @property
    def platform(self) -> bool:
        return self[0] & PLATFORM == PLATFORM

    @property
    def uploaded(self) -> bool:
        return self[0] & UPLOADED == UPLOADED

    @property
    def client_auth(self) -> bool:
        return self[0] & CLIENT_AUTH == CLIENT_AUTH

    @property
    def hostname(self) -> str:
        return self[HOSTNAME_AT[self[0]] :].decode("ascii")

    @property
    def tenant_id(self) -> str:
        return _uuid(self[1:17])

    @property
    def domain_id(self) -> str:
        return "" if self[0] & PLATFORM else _uuid(self[17:33])

    @property
    def registration(self) -> str:
        """Whatever was allowed on the strength of this row: the domain, or the tenant of a platform subdomain."""
        return self.domain_id or self.tenant_id

    def ended(self, now: Entry | None) -> bool:
        """It was live, and what stands in its place now is not the same registration, live, or it asks for more."""
        if not self.live:
            return False
        if now is None or not now.live or now[1:33] != self[1:33]:
            return True
        return now.client_auth and not self.client_auth

    @property
    def fingerprint(self) -> str | None:
        return self[33:65].hex() if self[0] & CERTIFIED else None

    @property
    def vault_version(self) -> int | None:
        return (int.from_bytes(self[65:69], "big") or None) if self[0] & CERTIFIED else None

    @property
    def not_after(self) -> float | None:
        if not self[0] & CERTIFIED:
            return None
        seconds: float = _certificate.unpack_from(self, _head.size)[2]
        return None if math.isnan(seconds) else seconds

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in FIELDS)
        return f"Entry({', '.join(fields)})"

    __str__ = __repr__


FIELDS = (
    "hostname",
    "tenant_id",
    "domain_id",
    "live",
    "fingerprint",
    "vault_version",
    "not_after",
    "platform",
    "uploaded",
    "client_auth",
)

unpack: Callable[[bytes], Entry] = partial(bytes.__new__, Entry)
"""An Entry of its bytes, by C code alone; they are taken for what they should be."""


def _uuid(raw: bytes) -> str:
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


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
