"""The JSON Schemas (2020-12) of what the API takes and gives, with an example each. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.endpoints import DELIVERY_STATES, EVENTS, KINDS, MAX_ADDRESS
from api.exchange import REQUEST_ID_PATTERN
from api.idempotency import KEY_PATTERN
from api.operations import LINE_PROBLEMS
from api.pagination import (
    CURSOR_PATTERN,
    DEFAULT_LIMIT,
    ENTRY_CURSOR_PATTERN,
    MAX_LIMIT,
    encode_cursor,
    encode_entry_cursor,
)
from api.service import SSL_STATUSES, STATUSES, Position
from core.hostname import MAX_INPUT_LENGTH

MAX_HOSTNAMES = 1000  # of one import
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
_COUNT: Schema = {"type": "integer", "minimum": 0}
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
        "challenge": _record("CNAME"),
    },
    optional=("apex", "apexIpv6", "challenge"),
    description="`verification` is always to be made, and then `subdomain` or, where a CNAME cannot be, `apex`. "
    "`challenge` is needed for a wildcard; with it, any other hostname has its certificate before its traffic moves.",
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
        "subdomain": {"type": "CNAME", "name": "shop.mybrand.co", "value": "t-7f3c9d2be41a06d85c1f.custom.platform.io"},
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
    "renewAt": "2026-06-20T17:41:02.310Z",
    "challenges": ["http-01"],
    "failureCount": 0,
    "nextAttempt": None,
}

_DOMAIN_PATH = f"/api/v1/domains/{ID}"
_EXAMPLE_PROBLEM: Mapping[str, Any] = {
    "type": "/problems/has_port",
    "title": "The hostname has a port",
    "status": 422,
    "detail": "Give the hostname alone, without a port.",
    "code": "has_port",
    "who": "tenant",
    "pointer": "/hostnames/1",
}
_EXAMPLE_REPORT: Mapping[str, Any] = {
    "created": 1,
    "existing": 0,
    "failed": 1,
    "lines": [
        {
            "line": 1,
            "hostname": "shop.mybrand.co",
            "result": "created",
            "domain": _DOMAIN_PATH,
            "registration": _EXAMPLE_REGISTRATION,
        },
        {"line": 2, "hostname": None, "result": "error", "problem": _EXAMPLE_PROBLEM},
    ],
}
_EXAMPLE_DIAGNOSIS: Mapping[str, Any] = {
    "id": ID,
    "hostname": "shop.mybrand.co",
    "checkedAt": "2026-04-22T02:03:07.250Z",
    "ok": False,
    "usable": [],
    "checks": [
        {
            "check": "caa",
            "code": "caa_forbids",
            "ok": False,
            "blocking": True,
            "who": "tenant",
            "message": "The CAA records of mybrand.co let only other.example issue.",
            "expected": ["letsencrypt.org"],
            "found": ["other.example"],
        }
    ],
}
_EXAMPLE_AUDIT: Mapping[str, Any] = {
    "data": [
        {
            "id": 17,
            "at": "2026-04-22T02:00:00.000Z",
            "hostname": "shop.mybrand.co",
            "actor": "tenant:alice",
            "action": "add",
            "detail": {},
        }
    ],
    "nextCursor": None,
}
_EXAMPLE_QUOTA: Mapping[str, Any] = {
    "limit": 5,
    "used": 2,
    "remaining": 3,
    "byStatus": {"pending": 1, "dns_check": 0, "verified": 0, "active": 1, "failed": 0, "moved": 0},
    "registrations": {"hours": 24, "limit": 50, "used": 2, "remaining": 48},
}

_ENDPOINT: Mapping[str, Any] = {
    "id": {"type": "string", "format": "uuid"},
    "kind": {"type": "string", "enum": list(KINDS)},
    "address": _TEXT,
    "events": {"type": ["array", "null"], "items": _TEXT},
    "createdAt": _MOMENT,
    "enabled": {"type": "boolean"},
    "disabledAt": _nullable(_MOMENT),
    "disabledCode": {**_nullable(_CODE), "description": "gone: it answered 410. failing: it failed for days."},
    "failingSince": {**_nullable(_MOMENT), "description": "No attempt has succeeded since."},
}
_EXAMPLE_ENDPOINT: Mapping[str, Any] = {
    "id": ID,
    "kind": "webhook",
    "address": "https://hooks.mybrand.co/nameplate",
    "events": None,
    "createdAt": "2026-04-22T02:00:00.000Z",
    "enabled": True,
    "disabledAt": None,
    "disabledCode": None,
    "failingSince": None,
}
_EXAMPLE_DELIVERY: Mapping[str, Any] = {
    "id": ID,
    "messageId": "msg_0b8f0a864d0c4a559a3b5f3f0f5ad6a1",
    "event": "domain.activate",
    "domain": ID,
    "state": "pending",
    "attempts": 1,
    "createdAt": "2026-04-22T02:00:00.000Z",
    "settledAt": None,
    "nextAttemptAt": "2026-04-22T02:00:05.000Z",
    "lastFailure": {
        "at": "2026-04-22T02:00:00.100Z",
        "code": "refused",
        "message": "It answered 500.",
        "status": 500,
    },
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
    "NewDomains": _object(
        {
            "hostnames": {
                "type": "array",
                "maxItems": MAX_HOSTNAMES,
                "items": {},
                "description": "Each as `hostname` of POST /domains; what is no string is reported in its line.",
            }
        },
        examples=[{"hostnames": ["shop.mybrand.co", "www.mybrand.co"]}],
    ),
    "ImportReport": _object(
        {
            "created": _COUNT,
            "existing": _COUNT,
            "failed": _COUNT,
            "lines": {"type": "array", "maxItems": MAX_HOSTNAMES, "items": _reference("ImportLine")},
        },
        examples=[_EXAMPLE_REPORT],
    ),
    "ImportLine": _object(
        {
            "line": {"type": "integer", "minimum": 1, "description": "Its place in the list, from 1."},
            "hostname": {"type": ["string", "null"], "maxLength": 253, "description": "In normal form, if it has one."},
            "result": {
                "type": "string",
                "enum": ["created", "exists", "error"],
                "description": "exists: it is one of the tenant's domains already.",
            },
            "domain": {"type": "string", "format": "uri-reference"},
            "registration": _reference("Registration"),
            "problem": {
                "allOf": [_reference("Problem"), {"properties": {"code": {"enum": list(LINE_PROBLEMS)}}}],
            },
        },
        optional=("domain", "registration", "problem"),
        description="`domain` unless it is an error, `registration` if it was created, `problem` if it is an error.",
    ),
    "Nothing": _object({}, description="No body is needed; an empty object is taken.", examples=[{}]),
    "Instructions": _INSTRUCTIONS,
    "Registration": _object(_REGISTRATION, examples=[_EXAMPLE_REGISTRATION]),
    "Domain": _object(
        {
            **_REGISTRATION,
            "updatedAt": _MOMENT,
            "ready": {"type": "boolean", "description": "Served, with a certificate that has not expired."},
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
            "renewAt": {**_nullable(_MOMENT), "description": "When its renewal begins; null while there is none."},
            "challenges": {
                "type": "array",
                "items": {"type": "string", "enum": ["http-01", "dns-01"]},
                "uniqueItems": True,
                "description": "How a CA can be shown control of the hostname; dns-01 needs `instructions.challenge`.",
            },
            "failureCount": {"type": "integer", "minimum": 0, "description": "Failed issuances in a row."},
            "nextAttempt": {
                "description": "When a certificate is tried for again, and why not before.",
                "oneOf": [{"type": "null"}, _object({"at": _MOMENT, "code": _CODE, "message": _TEXT})],
            },
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
    "Diagnosis": _object(
        {
            "id": _REGISTRATION["id"],
            "hostname": _REGISTRATION["hostname"],
            "checkedAt": _MOMENT,
            "ok": {"type": "boolean", "description": "Nothing that was found would stop a certificate."},
            "usable": {
                "type": "array",
                "items": {"type": "string", "format": "uri"},
                "description": "The directories of the CAs that CAA lets issue.",
            },
            "checks": {
                "type": "array",
                "description": "The cause before its consequences.",
                "items": _object(
                    {
                        "check": _TEXT,
                        "code": _CODE,
                        "ok": {"type": "boolean"},
                        "blocking": {"type": "boolean", "description": "No certificate is ordered until it is mended."},
                        "who": _WHO,
                        "message": _TEXT,
                        "expected": {},
                        "found": {},
                    }
                ),
            },
        },
        examples=[_EXAMPLE_DIAGNOSIS],
    ),
    "Audit": _object(
        {
            "data": {
                "type": "array",
                "maxItems": MAX_LIMIT,
                "items": _object(
                    {
                        "id": {"type": "integer"},
                        "at": _MOMENT,
                        "hostname": _TEXT,
                        "actor": {**_TEXT, "description": "`tenant:` and the token's subject, or `platform`."},
                        "action": _CODE,
                        "detail": {"type": "object"},
                    }
                ),
            },
            "nextCursor": {"type": ["string", "null"], "pattern": ENTRY_CURSOR_PATTERN},
        },
        examples=[_EXAMPLE_AUDIT],
    ),
    "Quota": _object(
        {
            "limit": {**_COUNT, "description": "Domains that the plan allows."},
            "used": _COUNT,
            "remaining": _COUNT,
            "byStatus": _object(dict.fromkeys(STATUSES, _COUNT)),
            "registrations": _object(
                {"hours": {"type": "integer", "minimum": 1}, "limit": _COUNT, "used": _COUNT, "remaining": _COUNT},
                description="How many may be registered within so many hours, deleted ones included.",
            ),
        },
        examples=[_EXAMPLE_QUOTA],
    ),
    "NewEndpoint": _object(
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
    "Endpoint": _object(_ENDPOINT, examples=[_EXAMPLE_ENDPOINT]),
    "MadeEndpoint": _object(
        {
            **_ENDPOINT,
            "secret": {
                "type": ["string", "null"],
                "pattern": "^whsec_[A-Za-z0-9+/]+=*$",
                "description": "What a webhook's signatures are verified with. It is not shown again.",
            },
        },
        examples=[{**_EXAMPLE_ENDPOINT, "secret": "whsec_" + "MDEy" * 10 + "MDE="}],
    ),
    "EndpointSecret": _object(
        {
            "secret": {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]+=*$"},
            "previousValidUntil": _nullable(_MOMENT),
        },
        examples=[{"secret": "whsec_" + "MDEy" * 10 + "MDE=", "previousValidUntil": "2026-04-23T02:00:00.000Z"}],
    ),
    "EndpointList": _object(
        {"data": {"type": "array", "items": _reference("Endpoint")}}, examples=[{"data": [_EXAMPLE_ENDPOINT]}]
    ),
    "Delivery": _object(
        {
            "id": {"type": "string", "format": "uuid"},
            "messageId": {**_TEXT, "description": "The webhook-id header, or the mail's Message-ID before its @."},
            "event": _TEXT,
            "domain": {"type": ["string", "null"], "format": "uuid"},
            "state": {"type": "string", "enum": list(DELIVERY_STATES), "description": "dead: it was given up."},
            "attempts": _COUNT,
            "createdAt": _MOMENT,
            "settledAt": _nullable(_MOMENT),
            "nextAttemptAt": {**_nullable(_MOMENT), "description": "null too while it waits behind another one."},
            "lastFailure": {
                "oneOf": [
                    {"type": "null"},
                    _object(
                        {
                            "at": {"type": "string", "format": "date-time"},
                            "code": _CODE,
                            "message": _TEXT,
                            "status": {"type": ["integer", "null"], "description": "Of HTTP or SMTP."},
                        }
                    ),
                ]
            },
        },
        examples=[_EXAMPLE_DELIVERY],
    ),
    "DeliveryList": _object(
        {"data": {"type": "array", "maxItems": MAX_LIMIT, "items": _reference("Delivery")}},
        examples=[{"data": [_EXAMPLE_DELIVERY]}],
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
            "retryAfter": {"type": "integer", "minimum": 1, "description": "Seconds; in the lines of an import."},
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
        "description": "How many a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "`nextCursor` of the page before, unread.",
        "schema": {"type": "string", "format": "cursor"},
        "example": CURSOR,
    },
    "auditCursor": {
        "name": "cursor",
        "in": "query",
        "description": "`nextCursor` of the page before, unread.",
        "schema": {"type": "string", "format": "entry-cursor"},
        "example": encode_entry_cursor(17),
    },
    "status": {
        "name": "status",
        "in": "query",
        "description": "Only domains with this status.",
        "schema": {"type": "string", "enum": list(STATUSES)},
    },
    "endpoint": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Of an endpoint.",
        "schema": {"type": "string", "format": "uuid"},
        "example": ID,
    },
    "delivery": {
        "name": "delivery",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "example": ID,
    },
    "deliveryState": {
        "name": "state",
        "in": "query",
        "description": "Only deliveries in this state.",
        "schema": {"type": "string", "enum": list(DELIVERY_STATES)},
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
    "Retry-After-409": {
        "description": "With `hostname_cooling_down`: seconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "pattern": "^Bearer "}},
}
