"""What the API asks of notification endpoints: the Protocol it consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.outbox.endpoints` implements the Protocol.

    DomainsError
    ├── EndpointNotFound       no endpoint of this tenant has the id
    ├── DeliveryNotFound       the endpoint has no such delivery, or it is not one that was given up
    ├── AddressRefused         nothing can be sent to such an address
    ├── EventUnknown           no tenant is told such an event
    ├── EndpointLimitReached   the tenant may not have more
    ├── MailUnavailable        this installation sends no mail
    ├── NoSecret               a mailbox has none
    ├── TestTooSoon            the last test was a moment ago; says when the next may be
    └── SecretsUnavailable     the secret can be neither kept nor read now; nothing was changed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from api.auth import Principal
from api.service import DomainsError

EndpointKind = Literal["webhook", "email"]
DeliveryState = Literal["pending", "delivered", "dead"]

KINDS: tuple[EndpointKind, ...] = ("webhook", "email")
DELIVERY_STATES: tuple[DeliveryState, ...] = ("pending", "delivered", "dead")
MAX_ADDRESS = 2048
# What tenants are told; the sentences belong to control.
EVENTS = (
    "domain.activate",
    "domain.add",
    "domain.client_auth_remove",
    "domain.client_auth_set",
    "domain.client_ca_ending",
    "domain.client_crl_ending",
    "domain.come_back",
    "domain.delete",
    "domain.dns_check",
    "domain.move_away",
    "domain.pause",
    "domain.pause_expiring",
    "domain.resume",
    "domain.retry",
    "domain.ssl_error",
    "domain.ssl_expiring",
    "domain.ssl_failed",
    "domain.ssl_issue",
    "domain.ssl_order",
    "domain.ssl_pause",
    "domain.ssl_preflight",
    "domain.ssl_reissue",
    "domain.ssl_renew",
    "domain.ssl_resume",
    "domain.transfer",
    "domain.upload",
    "domain.upload_expire",
    "domain.upload_expiring",
    "domain.upload_replace",
    "domain.upload_withdraw",
    "domain.verify",
    "domain.verify_failed",
    "notification.endpoint_disabled",
    "notification.test",
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`events`: None stands for all that are meant for its kind. `failing_since`: no attempt has succeeded since."""

    id: UUID
    kind: EndpointKind
    address: str
    events: tuple[str, ...] | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_code: str | None
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class NewSecret:
    """`secret`: shown once. `previous_until`: for so long the one before signs beside it."""

    secret: str = field(repr=False)
    previous_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """`last_attempt`: {at, code, message, status}."""

    id: UUID
    event: str
    domain_id: UUID | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    settled_at: datetime | None
    due_at: datetime | None
    last_attempt: Mapping[str, Any] | None


class Endpoints(Protocol):
    """Each method for one tenant. Every method may raise Unavailable."""

    async def add(
        self, caller: Principal, kind: EndpointKind, address: str, events: Sequence[str] | None
    ) -> tuple[Endpoint, NewSecret | None]:
        """Raises AddressRefused, EventUnknown, EndpointLimitReached, MailUnavailable, SecretsUnavailable."""
        ...

    async def all(self, caller: Principal) -> Sequence[Endpoint]:
        """Oldest first."""
        ...

    async def find(self, caller: Principal, endpoint_id: UUID) -> Endpoint:
        """Raises EndpointNotFound."""
        ...

    async def delete(self, caller: Principal, endpoint_id: UUID) -> None:
        """What waits for it is not sent any more. Raises EndpointNotFound."""
        ...

    async def rotate(self, caller: Principal, endpoint_id: UUID) -> NewSecret:
        """Raises EndpointNotFound, NoSecret, SecretsUnavailable."""
        ...

    async def test(self, caller: Principal, endpoint_id: UUID) -> Delivery:
        """Send a message now, also to one that is disabled. Raises EndpointNotFound, TestTooSoon."""
        ...

    async def deliveries(
        self, caller: Principal, endpoint_id: UUID, state: DeliveryState | None, limit: int
    ) -> Sequence[Delivery]:
        """The latest first. Raises EndpointNotFound."""
        ...

    async def retry(self, caller: Principal, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
        """Send what was given up. Raises EndpointNotFound, DeliveryNotFound."""
        ...


class EndpointNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("endpoint_not_found", "There is no such endpoint.")


class DeliveryNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("delivery_not_found", "There is no such delivery that was given up.")


class AddressRefused(DomainsError):
    pointer = "/address"

    def __init__(self, message: str) -> None:
        super().__init__("address_refused", message)


class EventUnknown(DomainsError):
    pointer = "/events"

    def __init__(self) -> None:
        super().__init__("event_unknown", "One of the events is not known; the document of this API lists them.")


class EndpointLimitReached(DomainsError):
    def __init__(self, limit: int) -> None:
        super().__init__("endpoint_limit_reached", f"A tenant has at most {limit} endpoints.")


class MailUnavailable(DomainsError):
    pointer = "/kind"

    def __init__(self) -> None:
        super().__init__("mail_unavailable", "This installation sends no mail.")


class NoSecret(DomainsError):
    def __init__(self) -> None:
        super().__init__("endpoint_has_no_secret", "Mails are not signed: only webhooks have a secret.")


class TestTooSoon(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    __test__ = False  # pytest looks at the name

    def __init__(self, retry_after: int) -> None:
        super().__init__("test_too_soon", f"It was tested a moment ago; try again in {retry_after} s.")
        self.retry_after = retry_after


class SecretsUnavailable(DomainsError):
    def __init__(self) -> None:
        super().__init__("secrets_unavailable", "The signing secret cannot be kept or read now; try again shortly.")
