"""The endpoints of a tenant, and what was sent there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.endpoints import DELIVERY_STATES, EVENTS, KINDS, MAX_ADDRESS
from api.pagination import MAX_LIMIT
from api.schemas.schema import CODE, COUNT, ID, MOMENT, TEXT, Schema, array, closed, nullable, reference

_ENDPOINT: Mapping[str, Any] = {
    "id": ID,
    "kind": {"type": "string", "enum": list(KINDS)},
    "address": TEXT,
    "events": {"type": ["array", "null"], "items": TEXT},
    "createdAt": MOMENT,
    "enabled": {"type": "boolean"},
    "disabledAt": nullable(MOMENT),
    "disabledCode": {**nullable(CODE), "description": "gone: it answered 410. failing: it failed for days."},
    "failingSince": {**nullable(MOMENT), "description": "No attempt has succeeded since."},
}

SCHEMAS: Mapping[str, Schema] = {
    "NewEndpoint": closed(
        {
            "kind": {"type": "string", "enum": list(KINDS)},
            "address": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_ADDRESS,
                "description": "An https:// URL on a public address, or a mail address.",
            },
            "events": {
                "type": ["array", "null"],
                "items": {"type": "string", "enum": list(EVENTS)},
                "description": "Which are sent; null: all to a webhook, and those worth a mail to a mailbox.",
            },
        },
        optional=("events",),
        examples=[{"kind": "webhook", "address": "https://hooks.mybrand.co/nameplate"}],
    ),
    "Endpoint": closed(_ENDPOINT, examples=[examples.ENDPOINT]),
    "MadeEndpoint": closed(
        {
            **_ENDPOINT,
            "secret": {
                "type": ["string", "null"],
                "pattern": "^whsec_[A-Za-z0-9+/]+=*$",
                "description": "What a webhook's signatures are verified with. It is not shown again.",
            },
        },
        examples=[{**examples.ENDPOINT, "secret": "whsec_" + "MDEy" * 10 + "MDE="}],
    ),
    "EndpointSecret": closed(
        {
            "secret": {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]+=*$"},
            "previousValidUntil": nullable(MOMENT),
        },
        examples=[{"secret": "whsec_" + "MDEy" * 10 + "MDE=", "previousValidUntil": "2026-04-23T02:00:00.000Z"}],
    ),
    "EndpointList": closed({"data": array(reference("Endpoint"))}, examples=[{"data": [examples.ENDPOINT]}]),
    "Delivery": closed(
        {
            "id": ID,
            "messageId": {**TEXT, "description": "The webhook-id header, or the mail's Message-ID before its @."},
            "event": TEXT,
            "domain": {"type": ["string", "null"], "format": "uuid"},
            "state": {"type": "string", "enum": list(DELIVERY_STATES), "description": "dead: it was given up."},
            "attempts": COUNT,
            "createdAt": MOMENT,
            "settledAt": nullable(MOMENT),
            "nextAttemptAt": {**nullable(MOMENT), "description": "null too while it waits behind another one."},
            "lastFailure": {
                "oneOf": [
                    {"type": "null"},
                    closed(
                        {
                            "at": {"type": "string", "format": "date-time"},
                            "code": CODE,
                            "message": TEXT,
                            "status": {"type": ["integer", "null"], "description": "Of HTTP or SMTP."},
                        }
                    ),
                ]
            },
        },
        examples=[examples.DELIVERY],
    ),
    "DeliveryList": closed(
        {"data": {"type": "array", "maxItems": MAX_LIMIT, "items": reference("Delivery")}},
        examples=[{"data": [examples.DELIVERY]}],
    ),
}
