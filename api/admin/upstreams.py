"""What the admin API asks of upstream services: the Protocols it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.services` implements the Protocols.

    DomainsError
    ├── NotThere           no service, bundle or identity has the name; or no such tenant or choice
    ├── InUse              something refers to it, so it cannot be removed
    ├── LimitReached       there are as many as the sidecars hold
    ├── UnknownReference   what the body refers to is not there
    ├── ChangedMeanwhile   somebody else changed it between two steps of this change
    └── KeysUnavailable    of api.uploads: the key can be neither kept nor looked for now; nothing was changed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from api.auth import Operator
from api.conditions import Condition
from api.service import DomainsError
from core.certificate import Certificate
from core.service import Service
from core.trust import Authority, TrustBundle

Kind = Literal["service", "trust", "identity"]


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """`spec`: core.service's document. `tenants`, `domains`: how many of each have chosen it."""

    name: str
    spec: Mapping[str, Any]
    tag: str
    tenants: int
    domains: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """A bundle without its PEM, which may be long. `services`: those that name it."""

    name: str
    authorities: tuple[Authority, ...]
    services: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TrustRecord:
    facts: TrustFacts
    pem: str
    tag: str


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """`services`: those that name it. The key is not here: nobody reads it back."""

    name: str
    serial: str
    issuer: str
    fingerprint: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    tag: str
    services: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """`domain_id`: None for a whole tenant. `service`: None: nothing is chosen."""

    tenant_id: UUID
    domain_id: UUID | None
    service: str | None
    updated_at: datetime | None


class Services(Protocol):
    """Every method of these Protocols may raise Unavailable; what takes a condition, PreconditionFailed."""

    async def all(self, caller: Operator) -> Sequence[ServiceRecord]:
        """By name, as all lists here."""
        ...

    async def find(self, caller: Operator, name: str) -> ServiceRecord:
        """Raises NotThere."""
        ...

    async def put(self, caller: Operator, service: Service, condition: Condition) -> tuple[ServiceRecord, bool]:
        """True: there was none before. Raises UnknownReference, LimitReached."""
        ...

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        """Raises NotThere, InUse."""
        ...


class TrustStore(Protocol):
    async def all(self, caller: Operator) -> Sequence[TrustFacts]: ...

    async def find(self, caller: Operator, name: str) -> TrustRecord:
        """Raises NotThere."""
        ...

    async def put(
        self, caller: Operator, name: str, bundle: TrustBundle, condition: Condition
    ) -> tuple[TrustRecord, bool]:
        """True: there was none before. Raises LimitReached."""
        ...

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        """Raises NotThere, InUse."""
        ...


class Identities(Protocol):
    async def all(self, caller: Operator) -> Sequence[IdentityRecord]: ...

    async def find(self, caller: Operator, name: str) -> IdentityRecord:
        """Raises NotThere."""
        ...

    async def put(
        self, caller: Operator, name: str, certificate: Certificate, condition: Condition
    ) -> tuple[IdentityRecord, bool]:
        """True: there was none before. Raises ChangedMeanwhile, KeysUnavailable, LimitReached."""
        ...

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        """Its key is destroyed once no sidecar is told of it any more. Raises NotThere, InUse."""
        ...


class Choices(Protocol):
    """`of` a tenant, or of one live domain. All may raise NotThere, or DomainNotFound."""

    async def of_tenant(self, caller: Operator, tenant_id: UUID) -> Choice: ...

    async def of_domain(self, caller: Operator, domain_id: UUID) -> Choice: ...

    async def put_tenant(self, caller: Operator, tenant_id: UUID, service: str) -> Choice:
        """Raises UnknownReference too."""
        ...

    async def put_domain(self, caller: Operator, domain_id: UUID, service: str) -> Choice:
        """Raises UnknownReference too."""
        ...

    async def delete_tenant(self, caller: Operator, tenant_id: UUID) -> None: ...

    async def delete_domain(self, caller: Operator, domain_id: UUID) -> None: ...


@dataclass(frozen=True, slots=True)
class Upstreams:
    """All that the admin API needs."""

    services: Services
    trust: TrustStore
    identities: Identities
    choices: Choices


class NotThere(DomainsError):
    """`code`: service_not_found, trust_not_found, identity_not_found, tenant_not_found, choice_not_found."""

    def __init__(self, code: str) -> None:
        super().__init__(code, "There is nothing of this name, or with this id.")


class InUse(DomainsError):
    """`code`: service_in_use, trust_in_use, identity_in_use. `by`: a sentence of who uses it."""

    def __init__(self, code: str, by: str) -> None:
        super().__init__(code, by)


class LimitReached(DomainsError):
    def __init__(self, limit: int) -> None:
        super().__init__("platform_limit_reached", f"There are {limit} already, as many as the sidecars hold.")


class UnknownReference(DomainsError):
    """`code`: service_unknown, trust_unknown, identity_unknown."""

    def __init__(self, code: str, name: str, pointer: str) -> None:
        super().__init__(code, f"There is nothing that is called {name}.")
        self.pointer = pointer


class ChangedMeanwhile(DomainsError):
    def __init__(self) -> None:
        super().__init__("changed_meanwhile", "Somebody else changed it at the same time; look, and try again.")
