"""Notifications of all tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api.endpoints import DeliveryState
from api.overview.places import Place
from api.representation import optional_timestamp, timestamp


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A notification. `address`: of a webhook without its path, which may be a secret. `admin`: the platform's own."""

    id: UUID
    endpoint_id: UUID
    tenant_id: UUID | None
    kind: str
    address: str
    enabled: bool
    event: str
    domain_id: UUID | None
    hostname: str | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    settled_at: datetime | None
    due_at: datetime | None
    last_attempt: Mapping[str, Any] | None
    place: Place


def delivery_of(row: DeliveryRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "tenant": None if row.tenant_id is None else str(row.tenant_id),
        "endpoint": {
            "id": str(row.endpoint_id),
            "kind": row.kind,
            "address": row.address,
            "enabled": row.enabled,
        },
        "event": row.event,
        "domain": None if row.domain_id is None else str(row.domain_id),
        "hostname": row.hostname,
        "state": row.state,
        "attempts": row.attempts,
        "createdAt": timestamp(row.created_at),
        "settledAt": optional_timestamp(row.settled_at),
        "nextAttemptAt": optional_timestamp(row.due_at),
        "lastFailure": None if row.last_attempt is None else dict(row.last_attempt),
    }
