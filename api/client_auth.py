"""What the API asks of client certificates: the Protocol it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.client_auth.tenant` implements the Protocol.

    DomainsError
    ├── NoClientAuth           the domain asks for no client certificates
    ├── ClientAuthLimit        too many of the tenant's domains ask, or their lists are too large together
    ├── PlatformLimit          too many domains of all tenants ask
    ├── ChangesTooMany         the tenant has changed too much in a short time; says when the next may be
    ├── ConsumerNotFound       no consumer of this tenant has the id
    ├── ConsumerExists         another one has the same certificates; says which
    └── ConsumerLimitReached   the tenant may not have more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, get_args
from uuid import UUID

from api.auth import Principal
from api.service import DomainsError, Position
from core.client_auth import Crl
from core.client_identity import Kind
from core.trust import Authority

Mode = Literal["required", "optional"]
MODES: tuple[Mode, ...] = get_args(Mode)

MAX_CONSUMERS = 1000  # of a tenant; the sidecars hold all of them in memory
MAX_CHANGES, CHANGES_MINUTES = 600, 10  # of a tenant, in so long; all sidecars read each of them
# What a domain that begins or ends to ask, or to require, counts for: every Envoy has another listener then, and keeps
# what it replaces for its drain time.
CHAIN_WEIGHT = 10
# What sending settings counts for, whatever comes of it: the longest take 0.2 s of processor time to look at.
LOOK_WEIGHT = 3
# Domains of a tenant that ask for certificates: each is 3 KB of every Envoy's listener, and Envoy looks at all of it,
# for a millisecond each, whenever one comes or goes.
MAX_ASKING = 100
MAX_TENANT_SIZE = 4 * 1024 * 1024  # characters of all its domains' authorities and lists, which they hold too
MAX_PLATFORM_ASKING = 2000  # domains of all tenants together: half a second of every Envoy whenever one comes or goes


@dataclass(frozen=True, slots=True)
class Settings:
    """`identify_by`: fields of the certificate, in the order in which a consumer is looked up by them.

    `groups_from`: a field of the certificate (core.client_identity); None: the groups are the consumer's.
    """

    mode: Mode
    ca_pem: str = field(repr=False)
    crl_pem: str | None = field(repr=False)
    lookup: bool
    identify_by: tuple[Kind, ...]
    groups_from: str | None


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """`settings`: as they were understood; PEM without what else was between."""

    domain_id: UUID
    hostname: str
    settings: Settings
    authorities: tuple[Authority, ...]
    crls: tuple[Crl, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewConsumer:
    """`value`: any spelling of what a certificate has in the field `kind`."""

    name: str
    kind: Kind
    value: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consumer:
    """`value`: in normal form."""

    id: UUID
    name: str
    kind: Kind
    value: str
    groups: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class ClientAuths(Protocol):
    """Each method for one tenant. Every method may raise Unavailable, those that change something ChangesTooMany."""

    async def put(self, caller: Principal, domain_id: UUID, settings: Settings) -> tuple[ClientAuth, bool]:
        """In place of what there is; the same again changes nothing. And whether there was none.

        Raises DomainNotFound, ClientAuthLimit, PlatformLimit, core.client_auth.ClientAuthError,
        core.client_identity.ClientIdentityError.
        """
        ...

    async def find(self, caller: Principal, domain_id: UUID) -> ClientAuth:
        """Raises DomainNotFound, NoClientAuth."""
        ...

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        """Clients are not asked for certificates any more. Raises DomainNotFound, NoClientAuth."""
        ...

    async def add_consumer(self, caller: Principal, consumer: NewConsumer) -> Consumer:
        """Raises ConsumerExists, ConsumerLimitReached, core.client_identity.ClientIdentityError."""
        ...

    async def consumers(self, caller: Principal, after: Position | None, limit: int) -> Sequence[Consumer]:
        """The next after a position, at most `limit`, oldest first."""
        ...

    async def find_consumer(self, caller: Principal, consumer_id: UUID) -> Consumer:
        """Raises ConsumerNotFound."""
        ...

    async def replace_consumer(self, caller: Principal, consumer_id: UUID, consumer: NewConsumer) -> Consumer:
        """Raises ConsumerNotFound, ConsumerExists, core.client_identity.ClientIdentityError."""
        ...

    async def delete_consumer(self, caller: Principal, consumer_id: UUID) -> None:
        """Raises ConsumerNotFound."""
        ...


class NoClientAuth(DomainsError):
    def __init__(self) -> None:
        super().__init__("client_auth_not_set", "This domain asks for no client certificates.")


class ClientAuthLimit(DomainsError):
    def __init__(self) -> None:
        super().__init__(
            "client_auth_limit_reached",
            f"At most {MAX_ASKING} domains of a tenant may ask for client certificates, and their authorities and "
            f"revocation lists together have at most {MAX_TENANT_SIZE >> 20} MB.",
        )


class PlatformLimit(DomainsError):
    def __init__(self) -> None:
        super().__init__("platform_limit_reached", "As many domains ask for client certificates as there may be.")


class ChangesTooMany(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        message = (
            f"Client certificates and consumers may change {MAX_CHANGES} times in {CHANGES_MINUTES} minutes; what is "
            f"sent for a domain counts for {LOOK_WEIGHT}, and for {CHAIN_WEIGHT} more if it begins or ends to ask for "
            f"them, or to require them."
        )
        super().__init__("client_auth_changes_too_many", message)
        self.retry_after = retry_after


class ConsumerNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("consumer_not_found", "There is no such consumer.")


class ConsumerExists(DomainsError):
    pointer = "/value"

    def __init__(self) -> None:
        super().__init__("consumer_exists", "Another consumer has the same kind and value: who would it be?")


class ConsumerLimitReached(DomainsError):
    def __init__(self) -> None:
        super().__init__("consumer_limit_reached", f"A tenant has at most {MAX_CONSUMERS} consumers.")
