"""The JSON Schemas (2020-12) of what the API takes and gives, with an example each. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.endpoints import DELIVERY_STATES, EVENTS, KINDS, MAX_ADDRESS
from api.operations import LINE_PROBLEMS
from api.pagination import (
    CURSOR_PATTERN,
    ENTRY_CURSOR_PATTERN,
    MAX_LIMIT,
)
from api.service import SSL_STATUSES, STATUSES
from core.hostname import MAX_INPUT_LENGTH

MAX_HOSTNAMES = 1000  # of one import
Schema = Mapping[str, Any]


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
        examples=[examples.REPORT],
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
    "Registration": _object(_REGISTRATION, examples=[examples.REGISTRATION]),
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
        examples=[examples.DOMAIN],
    ),
    "DomainList": _object(
        {
            "data": {"type": "array", "items": _reference("Domain"), "maxItems": MAX_LIMIT},
            "nextCursor": {"type": ["string", "null"], "pattern": CURSOR_PATTERN},
        },
        examples=[{"data": [examples.DOMAIN], "nextCursor": None}],
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
        examples=[examples.DIAGNOSIS],
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
        examples=[examples.AUDIT],
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
        examples=[examples.QUOTA],
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
    "Endpoint": _object(_ENDPOINT, examples=[examples.ENDPOINT]),
    "MadeEndpoint": _object(
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
    "EndpointSecret": _object(
        {
            "secret": {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]+=*$"},
            "previousValidUntil": _nullable(_MOMENT),
        },
        examples=[{"secret": "whsec_" + "MDEy" * 10 + "MDE=", "previousValidUntil": "2026-04-23T02:00:00.000Z"}],
    ),
    "EndpointList": _object(
        {"data": {"type": "array", "items": _reference("Endpoint")}}, examples=[{"data": [examples.ENDPOINT]}]
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
        examples=[examples.DELIVERY],
    ),
    "DeliveryList": _object(
        {"data": {"type": "array", "maxItems": MAX_LIMIT, "items": _reference("Delivery")}},
        examples=[{"data": [examples.DELIVERY]}],
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
