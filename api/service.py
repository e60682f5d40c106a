"""What the API asks of the domains: the Protocol it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.domains.tenants` implements the Protocol on PostgreSQL.

    NameplateError
    └── DomainsError
        ├── DomainNotFound        no live domain of this tenant has the id
        ├── DomainExists          the tenant has the hostname already; says which domain it is
        ├── HostnameTaken         another tenant has the hostname
        ├── DomainLimitReached    the tenant may not have more domains
        ├── VerificationTooSoon   the last look was a moment ago; says when the next may be
        ├── KeyReused             the idempotency key belongs to another request
        └── Unavailable           the truth cannot be asked or told now; nothing was changed, or it is not known
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from api.auth import Principal
from core.domain import Domain
from core.errors import NameplateError

# The states of seed 002, for the `status` filter and the document; the machine itself belongs to control.
STATUSES = ("pending", "dns_check", "verified", "active", "failed", "moved")
SSL_STATUSES = ("none", "validating", "issued", "expiring", "renewed", "error", "paused")
PROVEN_STATUSES = frozenset({"verified", "active", "moved"})
SERVABLE_SSL_STATUSES = frozenset({"issued", "expiring", "renewed"})


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a tenant's list, which is in the order of creation: just after this domain."""

    created_at: datetime
    domain_id: UUID


@dataclass(frozen=True, slots=True)
class Idempotency:
    """`key`: the client's. `fingerprint`: a digest of what the request asks for."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What a successful addition is answered with; kept with the idempotency key and given again as it is."""

    body: str
    location: str


@dataclass(frozen=True, slots=True)
class Added:
    reply: Reply
    replayed: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """`requested`: a DNS look was asked for. False: the domain is verified already, there is nothing to look for."""

    domain: Domain
    requested: bool


class Domains(Protocol):
    """The custom domains, each method for one tenant, in one transaction. Every method may raise Unavailable."""

    async def add(
        self, caller: Principal, hostname: str, idempotency: Idempotency | None, reply: Callable[[Domain], Reply]
    ) -> Added:
        """Register `hostname` (normal form), or give again what the same key was answered.

        Raises DomainExists, HostnameTaken, DomainLimitReached, KeyReused.
        """
        ...

    async def page(self, caller: Principal, after: Position | None, status: str | None, limit: int) -> Sequence[Domain]:
        """The next domains after a position, at most `limit`, oldest first."""
        ...

    async def find(self, caller: Principal, domain_id: UUID) -> Domain:
        """Raises DomainNotFound."""
        ...

    async def verify(self, caller: Principal, domain_id: UUID) -> Verification:
        """Look at the DNS now; a failed domain starts again. Raises DomainNotFound, VerificationTooSoon."""
        ...

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        """Detach, and have the certificate revoked. Raises DomainNotFound."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        ...


class DomainsError(NameplateError):
    """The base of what the Protocol's methods raise."""


class DomainNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_not_found", "There is no such domain.")


class DomainExists(DomainsError):
    def __init__(self, domain_id: UUID) -> None:
        super().__init__("domain_exists", "This hostname is registered already, as one of your domains.")
        self.domain_id = domain_id


class HostnameTaken(DomainsError):
    def __init__(self) -> None:
        super().__init__("hostname_taken", "This hostname is registered by somebody else.")


class DomainLimitReached(DomainsError):
    def __init__(self, limit: int) -> None:
        super().__init__("domain_limit_reached", f"The plan allows {limit} domains, and they are in use.")


class VerificationTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("verification_too_soon", f"The DNS was asked a moment ago; try again in {retry_after} s.")
        self.retry_after = retry_after


class KeyReused(DomainsError):
    def __init__(self) -> None:
        super().__init__("idempotency_key_reused", "This Idempotency-Key was used for a different request.")


class Unavailable(DomainsError):
    def __init__(self) -> None:
        super().__init__("database_unavailable", "The database cannot be reached now; try again shortly.")
