"""The JSON Schemas (2020-12) of what the API takes and gives, with an example each. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.exchange import REQUEST_ID_PATTERN
from api.idempotency import KEY_PATTERN
from api.pagination import CURSOR_PATTERN, DEFAULT_LIMIT, MAX_LIMIT, encode_cursor
from api.service import SSL_STATUSES, STATUSES, Position
from core.hostname import MAX_INPUT_LENGTH

Schema = Mapping[str, Any]

ID = "0b8f0a86-4d0c-4a55-9a3b-5f3f0f5ad6a1"
TOKEN = "verify-4f2d7c9a1be84a06b0f6d1c1a7e3955d"  # noqa: S105 -- an example
CURSOR = encode_cursor(Position(datetime(2026, 4, 22, 2, tzinfo=UTC), UUID(ID)))
FINGERPRINT = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """Closed: what is not listed is neither sent nor taken."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **more,
    }


def _nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": r"Z$"}
_TEXT: Schema = {"type": "string"}
_CODE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
_WHO: Schema = {"type": "string", "enum": ["tenant", "operator", "ca", "nobody"]}
_HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]+$"}


def _record(kind: str) -> Schema:
    return _object(
        {
            "type": {"const": kind},
            "name": _TEXT,
            "value": _TEXT,
            "values": {
                "type": "array",
                "items": _TEXT,
                "minItems": 2,
                "description": "Only where one record is not enough: a record for each of these is to be made.",
            },
        },
        optional=("values",),
    )


_INSTRUCTIONS = _object(
    {
        "subdomain": _record("CNAME"),
        "apex": _record("A"),
        "apexIpv6": _record("AAAA"),
        "verification": _record("TXT"),
    },
    optional=("apex", "apexIpv6"),
    description="`verification` is always to be made, and then `subdomain` or, where a CNAME cannot be, `apex`.",
)

_FINDING: Mapping[str, Any] = {
    "checkedAt": _nullable(_MOMENT),
    "code": {**_nullable(_CODE), "description": "Stable; what was found."},
    "message": _nullable(_TEXT),
    "who": {
        "type": ["string", "null"],
        "enum": [*_WHO["enum"], None],
        "description": "Who can mend it.",
    },
    "detail": {"type": ["object", "null"], "description": "Facts of this finding, such as expected and found."},
}

_REGISTRATION: Mapping[str, Any] = {
    "id": {"type": "string", "format": "uuid"},
    "hostname": {"type": "string", "maxLength": 253, "description": "Lower-case A-labels, no trailing dot."},
    "status": {"type": "string", "enum": list(STATUSES)},
    "sslStatus": {"type": "string", "enum": list(SSL_STATUSES)},
    "verificationToken": {"type": "string", "pattern": "^verify-[0-9a-f]{32,}$"},
    "instructions": _reference("Instructions"),
    "createdAt": _MOMENT,
}

_EXAMPLE_REGISTRATION: Mapping[str, Any] = {
    "id": ID,
    "hostname": "shop.mybrand.co",
    "status": "pending",
    "sslStatus": "none",
    "verificationToken": TOKEN,
    "instructions": {
        "subdomain": {"type": "CNAME", "name": "shop.mybrand.co", "value": "custom.platform.io"},
        "apex": {"type": "A", "name": "shop.mybrand.co", "value": "76.76.21.21"},
        "verification": {"type": "TXT", "name": "_platform-verify.shop.mybrand.co", "value": TOKEN},
    },
    "createdAt": "2026-04-22T02:00:00.000Z",
}

_EXAMPLE_DOMAIN: Mapping[str, Any] = {
    **_EXAMPLE_REGISTRATION,
    "status": "active",
    "sslStatus": "issued",
    "updatedAt": "2026-04-22T02:03:07.250Z",
    "ready": True,
    "verification": {
        "method": "txt",
        "deadline": "2026-04-25T02:00:00.000Z",
        "checkedAt": "2026-04-22T02:02:31.004Z",
        "code": "txt_found",
        "message": "The TXT record has the expected value.",
        "who": "nobody",
        "detail": {"expected": TOKEN, "found": [TOKEN]},
    },
    "ssl": {"checkedAt": None, "code": None, "message": None, "who": None, "detail": None},
    "certificate": {
        "serial": "3a1f",
        "issuer": "E7",
        "fingerprint": FINGERPRINT,
        "notBefore": "2026-04-22T01:02:40.000Z",
        "notAfter": "2026-07-21T01:02:39.000Z",
    },
    "certExpiry": "2026-07-21T01:02:39.000Z",
    "failureCount": 0,
}

SCHEMAS: Mapping[str, Schema] = {
    "NewDomain": _object(
        {
            "hostname": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_INPUT_LENGTH,
                "format": "idn-hostname",
                "description": "A hostname as a person writes it: any case, Unicode or A-labels, a final dot or none.",
            }
        },
        examples=[{"hostname": "shop.mybrand.co"}],
    ),
    "Nothing": _object({}, description="No body is needed; an empty object is taken.", examples=[{}]),
    "Instructions": _INSTRUCTIONS,
    "Registration": _object(_REGISTRATION, examples=[_EXAMPLE_REGISTRATION]),
    "Domain": _object(
        {
            **_REGISTRATION,
            "updatedAt": _MOMENT,
            "ready": {"type": "boolean", "description": "Active, with a certificate that is served."},
            "verification": _object(
                {
                    "method": {"type": ["string", "null"], "enum": ["txt", "cname", None]},
                    "deadline": {**_MOMENT, "description": "Not proven by then, the domain fails."},
                    **_FINDING,
                }
            ),
            "ssl": _object(_FINDING),
            "certificate": {
                "oneOf": [
                    {"type": "null"},
                    _object(
                        {
                            "serial": _HEX,
                            "issuer": _TEXT,
                            "fingerprint": {**_HEX, "description": "SHA-256 of the leaf."},
                            "notBefore": _MOMENT,
                            "notAfter": _MOMENT,
                        }
                    ),
                ]
            },
            "certExpiry": _nullable(_MOMENT),
            "failureCount": {"type": "integer", "minimum": 0, "description": "Failed issuances in a row."},
        },
        examples=[_EXAMPLE_DOMAIN],
    ),
    "DomainList": _object(
        {
            "data": {"type": "array", "items": _reference("Domain"), "maxItems": MAX_LIMIT},
            "nextCursor": {"type": ["string", "null"], "pattern": CURSOR_PATTERN},
        },
        examples=[{"data": [_EXAMPLE_DOMAIN], "nextCursor": None}],
    ),
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is what programs compare; further members depend on it.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "code": _CODE,
            "who": {**_WHO, "description": "Who must act for the request to succeed; nobody: it passes by itself."},
            "pointer": {"type": "string", "description": "The member of the body at fault (RFC 6901)."},
            "parameter": {"type": "string", "description": "The query parameter at fault."},
            "domain": {"type": "string", "format": "uri-reference", "description": "The domain there is already."},
        },
        "required": ["type", "title", "status", "detail", "code", "who"],
    },
}

PARAMETERS: Mapping[str, Schema] = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "example": ID,
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "How many domains a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "`nextCursor` of the page before, unread.",
        "schema": {"type": "string", "format": "cursor"},
        "example": CURSOR,
    },
    "status": {
        "name": "status",
        "in": "query",
        "description": "Only domains with this status.",
        "schema": {"type": "string", "enum": list(STATUSES)},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a retry safe: the same key and request are answered as the first time, for 24 hours.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
        "example": "9c1185a5c5e9fc54612808977ee8f548",
    },
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Taken into the log and sent back if it is sound; otherwise one is made.",
        "schema": {"type": "string"},
    },
}

HEADERS: Mapping[str, Schema] = {
    "X-Request-Id": {"required": True, "schema": {"type": "string", "pattern": REQUEST_ID_PATTERN}},
    "Location": {"required": True, "schema": {"type": "string", "format": "uri-reference"}},
    "Idempotent-Replayed": {
        "description": "There when this is the answer to an earlier request with the same key.",
        "schema": {"const": "true"},
    },
    "Link": {"description": "rel=next, when there is a next page.", "schema": {"type": "string"}},
    "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "pattern": "^Bearer "}},
}
