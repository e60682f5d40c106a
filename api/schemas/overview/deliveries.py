"""Notifications of all tenants."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.endpoints import DELIVERY_STATES
from api.schemas.schema import COUNT, ID, MOMENT, OPTIONAL_MOMENT, TEXT, Schema, closed, nullable, page_of, reference

_EXAMPLE_DELIVERY = {
    "id": examples.ID,
    "tenant": examples.ID,
    "endpoint": {
        "id": examples.ID,
        "kind": "webhook",
        "address": "https://hooks.mybrand.co/…",
        "enabled": True,
    },
    "event": "domain.activate",
    "domain": examples.ID,
    "hostname": "shop.mybrand.co",
    "state": "dead",
    "attempts": 9,
    "createdAt": examples.AT,
    "settledAt": examples.LATER,
    "nextAttemptAt": None,
    "lastFailure": {"at": examples.AT, "code": "refused", "message": "It answered 500.", "status": 500},
}

SCHEMAS: Mapping[str, Schema] = {
    "AdminDelivery": closed(
        {
            "id": ID,
            "tenant": {"type": ["string", "null"], "format": "uuid", "description": "null: the platform's own."},
            "endpoint": closed(
                {
                    "id": ID,
                    "kind": TEXT,
                    "address": {**TEXT, "description": "Of a webhook without its path, which may be a secret."},
                    "enabled": {"type": "boolean"},
                }
            ),
            "event": TEXT,
            "domain": {"type": ["string", "null"], "format": "uuid"},
            "hostname": nullable(TEXT),
            "state": {"type": "string", "enum": list(DELIVERY_STATES)},
            "attempts": COUNT,
            "createdAt": MOMENT,
            "settledAt": OPTIONAL_MOMENT,
            "nextAttemptAt": OPTIONAL_MOMENT,
            "lastFailure": {"type": ["object", "null"]},
        },
        examples=[_EXAMPLE_DELIVERY],
    ),
    "AdminDeliveryList": {
        **page_of(reference("AdminDelivery")),
        "examples": [{"data": [_EXAMPLE_DELIVERY], "nextCursor": None}],
    },
}
