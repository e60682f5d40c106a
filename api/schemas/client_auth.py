"""What a domain's clients are asked for, and whom their certificates stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.client_auth import MODES
from api.pagination import CURSOR_PATTERN, MAX_LIMIT
from api.schemas.schema import COUNT, HEX, ID, MOMENT, TEXT, Schema, closed, nullable, reference
from core.client_auth import MAX_AUTHORITIES, MAX_CA_SIZE, MAX_CRL_SIZE, MAX_CRLS
from core.client_identity import KINDS, MAX_GROUP, MAX_GROUPS, MAX_VALUE

_MODE: Schema = {
    "type": "string",
    "enum": list(MODES),
    "description": "optional: who has no certificate passes as nobody; a bad one is refused all the same.",
}
_IDENTIFY_BY: Schema = {
    "type": "array",
    "items": {"type": "string", "enum": list(KINDS)},
    "minItems": 1,
    "maxItems": len(KINDS),
    "uniqueItems": True,
    "description": "What a consumer is looked up by, in this order.",
}
_GROUPS_FROM: Schema = {
    "type": ["string", "null"],
    "description": "A field of the certificate: O, OU, or uri: with the prefix of alternative names whose rest is a "
    "group. null: the groups are the consumer's.",
}
_SKIP: Schema = {
    "type": "boolean",
    "description": "true: whoever has a good certificate passes. false: it must be a consumer's.",
}
_CONSUMER: Mapping[str, Any] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 128},
    "kind": {"type": "string", "enum": list(KINDS)},
    "value": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_VALUE,
        "description": "san: dns:, uri:, email: or ip: and the name. subject: as in RFC 4514. fingerprint: SHA-256.",
    },
    "groups": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": MAX_GROUP},
        "maxItems": MAX_GROUPS,
    },
}

SCHEMAS: Mapping[str, Schema] = {
    "NewClientAuth": closed(
        {
            "mode": _MODE,
            "caCertificates": {
                "type": "string",
                "minLength": 1,
                "description": "The authorities whose clients are let in, in PEM; intermediate ones may be among them. "
                f"At most {MAX_CA_SIZE // 1024} KB.",  # no maxLength: see api.schemas.uploads
            },
            "crl": {
                "type": ["string", "null"],
                "minLength": 1,
                "description": "Revocation lists in PEM. If there is one, each authority needs one. At most "
                f"{MAX_CRL_SIZE // 1024} KB.",
            },
            "skipConsumerLookup": {**_SKIP, "type": ["boolean", "null"], "default": False},
            "identifyBy": {**_IDENTIFY_BY, "type": ["array", "null"], "default": list(KINDS)},
            "groupsFrom": _GROUPS_FROM,
        },
        optional=("crl", "skipConsumerLookup", "identifyBy", "groupsFrom"),
        examples=[{"mode": "required", "caCertificates": examples.CA_PEM, "groupsFrom": "OU"}],
    ),
    "ClientAuth": closed(
        {
            "id": ID,
            "hostname": {"type": "string", "maxLength": 253},
            "mode": _MODE,
            "skipConsumerLookup": _SKIP,
            "identifyBy": _IDENTIFY_BY,
            "groupsFrom": _GROUPS_FROM,
            "caCertificates": TEXT,
            "crl": nullable(TEXT),
            "authorities": {
                "type": "array",
                "maxItems": MAX_AUTHORITIES,
                "items": closed(
                    {"subject": TEXT, "serial": HEX, "fingerprint": HEX, "notBefore": MOMENT, "notAfter": MOMENT}
                ),
            },
            "revocationLists": {
                "type": "array",
                "maxItems": MAX_CRLS,
                "items": closed({"issuer": TEXT, "thisUpdate": MOMENT, "nextUpdate": MOMENT, "revoked": COUNT}),
            },
            "createdAt": MOMENT,
            "updatedAt": MOMENT,
        },
        examples=[examples.CLIENT_AUTH],
    ),
    "NewConsumer": closed(
        {**_CONSUMER, "groups": {**_CONSUMER["groups"], "type": ["array", "null"]}},
        optional=("groups",),
        examples=[{"name": "orders", "kind": "san", "value": "uri:spiffe://mybrand.co/orders", "groups": ["shop"]}],
    ),
    "Consumer": closed(
        {"id": ID, **_CONSUMER, "createdAt": MOMENT, "updatedAt": MOMENT},
        examples=[examples.CONSUMER],
    ),
    "ConsumerList": closed(
        {
            "data": {"type": "array", "items": reference("Consumer"), "maxItems": MAX_LIMIT},
            "nextCursor": {"type": ["string", "null"], "pattern": CURSOR_PATTERN},
        },
        examples=[{"data": [examples.CONSUMER], "nextCursor": None}],
    ),
}
