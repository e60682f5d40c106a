"""What the API asks of the domains: the Protocol it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.domains.tenants` implements the Protocol on PostgreSQL.

    NameplateError
    └── DomainsError
        ├── DomainNotFound        no live domain of this tenant has the id
        ├── DomainExists          the tenant has the hostname already; says which domain it is
        ├── HostnameTaken         another tenant has proven the hostname
        ├── HostnameCoolingDown   another tenant has just given the hostname up; says when it may be had
        ├── DomainLimitReached    the tenant may not have more domains
        ├── RegistrationsTooMany  the tenant has registered too many in a day; says when the next may be
        ├── VerificationTooSoon   the last look was a moment ago; says when the next may be
        ├── DiagnosisTooSoon      the last diagnosis was a moment ago; says when the next may be
        ├── RenewalTooSoon        the last renewal on demand was a while ago; says when the next may be
        ├── DomainNotPausable     nothing is attempted for it that could be paused
        ├── PauseTooSoon          the last pause was a moment ago; says when the next may be
        ├── DomainNotPaused       there is nothing to resume
        ├── DomainPaused          resume it first
        ├── DomainNotActive       it has no certificate in use that could be renewed
        ├── DomainMoved           the hostname has left the platform: its certificate is not renewed
        ├── KeyReused             the idempotency key belongs to another request
        └── Unavailable           the truth cannot be asked or told now; nothing was changed, or it is not known
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from api.auth import Principal
from core.domain import Domain
from core.errors import NameplateError

# The states of seed 002, for the `status` filter and the document; the machine itself belongs to control.
STATUSES = ("pending", "dns_check", "verified", "active", "failed", "moved")
SSL_STATUSES = ("none", "validating", "issued", "expiring", "renewed", "error", "paused")
PROVEN_STATUSES = frozenset({"verified", "active", "moved"})
# A tenant may register this many times its limit in a day, so that a loop of registering and deleting has an end.
REGISTRATIONS_FACTOR = 10
REGISTRATIONS_HOURS = 24


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
class Requested:
    """`requested`: the work was asked for. False: there is nothing to do, it is verified or under way already."""

    domain: Domain
    requested: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a domain's audit. `actor`: 'tenant:<subject>', or the platform's own. `detail`: JSON facts."""

    id: int
    at: datetime
    hostname: str
    actor: str
    action: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Generation:
    """The newest change that a domain's answers depend on: of it, or of what all domains share. It only grows."""

    number: int
    hostname: str


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit`: live domains that the plan allows. `by_status`: those there are.

    `registered`: within REGISTRATIONS_HOURS, deleted ones included.
    """

    limit: int
    by_status: Mapping[str, int]
    registered: int

    @property
    def used(self) -> int:
        return sum(self.by_status.values())

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def registrations_limit(self) -> int:
        return self.limit * REGISTRATIONS_FACTOR

    @property
    def registrations_remaining(self) -> int:
        return max(0, self.registrations_limit - self.registered)


class Diagnostician(Protocol):
    async def diagnose(self, domain: Domain) -> Mapping[str, Any]:
        """What stands between a domain and its certificate, looked at now, as JSON values:

        {"ok": no check blocks, "usable": [directory URLs of the CAs that may issue],
         "checks": [{check, code, ok, blocking, who, message, expected, found}, …]}
        """
        ...


class DomainsError(NameplateError):
    """The base of what the Protocol's methods raise."""


class Domains(Protocol):
    """The custom domains, each method for one tenant, in one transaction. Every method may raise Unavailable."""

    async def add(
        self, caller: Principal, hostname: str, idempotency: Idempotency | None, reply: Callable[[Domain], Reply]
    ) -> Added:
        """Register `hostname` (normal form), or give again what the same key was answered.

        Raises DomainExists, HostnameTaken, HostnameCoolingDown, DomainLimitReached, RegistrationsTooMany, KeyReused.
        """
        ...

    async def add_many(
        self,
        caller: Principal,
        hostnames: Sequence[str],
        idempotency: Idempotency | None,
        reply: Callable[[Sequence[Domain | DomainsError]], Reply],
    ) -> Added:
        """The same for a list of different hostnames, each with its own answer. Raises KeyReused."""
        ...

    async def page(self, caller: Principal, after: Position | None, status: str | None, limit: int) -> Sequence[Domain]:
        """The next domains after a position, at most `limit`, oldest first."""
        ...

    async def find(self, caller: Principal, domain_id: UUID) -> Domain:
        """Raises DomainNotFound."""
        ...

    async def history(self, caller: Principal, domain_id: UUID, before: int | None, limit: int) -> Sequence[Entry]:
        """The audit of a domain, deleted ones too: at most `limit` entries, newest first. Raises DomainNotFound."""
        ...

    async def generation(self, caller: Principal, domain_id: UUID) -> Generation:
        """Of a domain, deleted ones too. Raises DomainNotFound."""
        ...

    async def quota(self, caller: Principal) -> Quota: ...

    async def verify(self, caller: Principal, domain_id: UUID) -> Requested:
        """Look at the DNS now; a failed domain starts again. Raises DomainNotFound, VerificationTooSoon."""
        ...

    async def resume(self, caller: Principal, domain_id: UUID) -> Domain:
        """Let a paused or failed domain be tried again, now. Raises DomainNotFound, DomainNotPaused, DomainMoved."""
        ...

    async def pause(self, caller: Principal, domain_id: UUID) -> Domain:
        """Attempt nothing for a proven domain's certificate until `resume`; a paused one is given back as it is.

        Raises DomainNotFound, DomainNotPausable, PauseTooSoon.
        """
        ...

    async def renew(self, caller: Principal, domain_id: UUID) -> Requested:
        """Have the certificate issued anew, now.

        Raises DomainNotFound, DomainNotActive, DomainMoved, DomainPaused, RenewalTooSoon.
        """
        ...

    async def diagnose(self, caller: Principal, domain_id: UUID) -> Domain:
        """The domain, whose diagnosis may begin now. Raises DomainNotFound, DiagnosisTooSoon."""
        ...

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        """Detach, and have the certificate revoked. Raises DomainNotFound."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        ...


class DomainNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_not_found", "There is no such domain.")


class DomainExists(DomainsError):
    def __init__(self, domain_id: UUID) -> None:
        super().__init__("domain_exists", "This hostname is registered already, as one of your domains.")
        self.domain_id = domain_id


class HostnameTaken(DomainsError):
    def __init__(self) -> None:
        super().__init__("hostname_taken", "Somebody else has proven this hostname and uses it.")


class HostnameCoolingDown(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("hostname_cooling_down", "Somebody else has given this hostname up a short while ago.")
        self.retry_after = retry_after


class DomainLimitReached(DomainsError):
    def __init__(self, limit: int) -> None:
        super().__init__("domain_limit_reached", f"The plan allows {limit} domains, and they are in use.")


class VerificationTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("verification_too_soon", f"The DNS was asked a moment ago; try again in {retry_after} s.")
        self.retry_after = retry_after


class RegistrationsTooMany(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, most: int, retry_after: int) -> None:
        super().__init__(
            "registrations_too_many", f"The plan allows {most} registrations in 24 hours, deleted ones included."
        )
        self.retry_after = retry_after


class DiagnosisTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("diagnosis_too_soon", f"The last diagnosis was a moment ago; try again in {retry_after} s.")
        self.retry_after = retry_after


class RenewalTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("renewal_too_soon", f"A renewal was asked for already; try again in {retry_after} s.")
        self.retry_after = retry_after


class DomainNotPausable(DomainsError):
    """`status`: of the domain, which is not proven."""

    def __init__(self, status: str) -> None:
        reason = (
            "It has failed, and nothing is attempted for it."
            if status == "failed"
            else "It is not proven yet, and no certificate is ordered for it before; its DNS is looked at until then."
        )
        super().__init__("domain_not_pausable", f"There is nothing to pause. {reason}")


class PauseTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("pause_too_soon", f"It was paused and resumed a moment ago; try again in {retry_after} s.")
        self.retry_after = retry_after


class DomainNotPaused(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_not_paused", "This domain is neither paused nor failed: there is nothing to resume.")


class DomainPaused(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_paused", "It is paused; mend what was found, if anything was, then resume it.")


class DomainNotActive(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_not_active", "There is no certificate in use that could be renewed.")


class DomainMoved(DomainsError):
    def __init__(self) -> None:
        super().__init__("domain_moved", "This hostname leads elsewhere now; point it back to the platform first.")


class KeyReused(DomainsError):
    def __init__(self) -> None:
        super().__init__("idempotency_key_reused", "This Idempotency-Key was used for a different request.")


class Unavailable(DomainsError):
    def __init__(self) -> None:
        super().__init__("database_unavailable", "The database cannot be reached now; try again shortly.")
