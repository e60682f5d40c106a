"""The domains of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.operations.domains import LINE_PROBLEMS
from api.pagination import CURSOR_PATTERN, ENTRY_CURSOR_PATTERN, MAX_LIMIT
from api.schemas import uploads
from api.schemas.schema import CODE, COUNT, ID, MOMENT, TEXT, WHO, Schema, closed, nullable, or_null, reference
from api.service import SSL_STATUSES, STATUSES
from core.hostname import MAX_INPUT_LENGTH

MAX_HOSTNAMES = 1000  # of one import


def _record(kind: str) -> Schema:
    return closed(
        {
            "type": {"const": kind},
            "name": TEXT,
            "value": TEXT,
            "values": {
                "type": "array",
                "items": TEXT,
                "minItems": 2,
                "description": "Only where one record is not enough: a record for each of these is to be made.",
            },
        },
        optional=("values",),
    )


_INSTRUCTIONS = closed(
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
    "checkedAt": nullable(MOMENT),
    "code": {**nullable(CODE), "description": "Stable; what was found."},
    "message": nullable(TEXT),
    "who": {
        "type": ["string", "null"],
        "enum": [*WHO["enum"], None],
        "description": "Who can mend it.",
    },
    "detail": {"type": ["object", "null"], "description": "Facts of this finding, such as expected and found."},
}

_REGISTRATION: Mapping[str, Any] = {
    "id": ID,
    "hostname": {"type": "string", "maxLength": 253, "description": "Lower-case A-labels, no trailing dot."},
    "status": {"type": "string", "enum": list(STATUSES)},
    "sslStatus": {"type": "string", "enum": list(SSL_STATUSES)},
    "verificationToken": {"type": "string", "pattern": "^verify-[0-9a-f]{32,}$"},
    "instructions": reference("Instructions"),
    "createdAt": MOMENT,
}

SCHEMAS: Mapping[str, Schema] = {
    "NewDomain": closed(
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
    "NewDomains": closed(
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
    "ImportReport": closed(
        {
            "created": COUNT,
            "existing": COUNT,
            "failed": COUNT,
            "lines": {"type": "array", "maxItems": MAX_HOSTNAMES, "items": reference("ImportLine")},
        },
        examples=[examples.REPORT],
    ),
    "ImportLine": closed(
        {
            "line": {"type": "integer", "minimum": 1, "description": "Its place in the list, from 1."},
            "hostname": {"type": ["string", "null"], "maxLength": 253, "description": "In normal form, if it has one."},
            "result": {
                "type": "string",
                "enum": ["created", "exists", "error"],
                "description": "exists: it is one of the tenant's domains already.",
            },
            "domain": {"type": "string", "format": "uri-reference"},
            "registration": reference("Registration"),
            "problem": {
                "allOf": [reference("Problem"), {"properties": {"code": {"enum": list(LINE_PROBLEMS)}}}],
            },
        },
        optional=("domain", "registration", "problem"),
        description="`domain` unless it is an error, `registration` if it was created, `problem` if it is an error.",
    ),
    "Nothing": closed({}, description="No body is needed; an empty object is taken.", examples=[{}]),
    "Instructions": _INSTRUCTIONS,
    "Registration": closed(_REGISTRATION, examples=[examples.REGISTRATION]),
    "Domain": closed(
        {
            **_REGISTRATION,
            "updatedAt": MOMENT,
            "ready": {"type": "boolean", "description": "Served, with a certificate that has not expired."},
            "verification": closed(
                {
                    "method": {"type": ["string", "null"], "enum": ["txt", "cname", None]},
                    "deadline": {**MOMENT, "description": "Not proven by then, the domain fails."},
                    **_FINDING,
                }
            ),
            "ssl": closed(_FINDING),
            "certificate": {
                "oneOf": [
                    {"type": "null"},
                    closed({"source": uploads.SOURCE, **uploads.FACTS}, description="The one that is in use."),
                ]
            },
            "certificateWarning": or_null(reference("CertificateWarning")),
            "certExpiry": {**nullable(MOMENT), "description": "Of the certificate that is in use."},
            "renewAt": {
                **nullable(MOMENT),
                "description": "When the managed certificate's renewal begins; null where none is planned.",
            },
            "challenges": {
                "type": "array",
                "items": {"type": "string", "enum": ["http-01", "dns-01"]},
                "uniqueItems": True,
                "description": "How a CA can be shown control of the hostname; dns-01 needs `instructions.challenge`.",
            },
            "failureCount": {"type": "integer", "minimum": 0, "description": "Failed issuances in a row."},
            "nextAttempt": {
                "description": "When a certificate is tried for again, and why not before.",
                "oneOf": [{"type": "null"}, closed({"at": MOMENT, "code": CODE, "message": TEXT})],
            },
        },
        examples=[examples.DOMAIN],
    ),
    "DomainList": closed(
        {
            "data": {"type": "array", "items": reference("Domain"), "maxItems": MAX_LIMIT},
            "nextCursor": {"type": ["string", "null"], "pattern": CURSOR_PATTERN},
        },
        examples=[{"data": [examples.DOMAIN], "nextCursor": None}],
    ),
    "Diagnosis": closed(
        {
            "id": _REGISTRATION["id"],
            "hostname": _REGISTRATION["hostname"],
            "checkedAt": MOMENT,
            "ok": {"type": "boolean", "description": "Nothing that was found would stop a certificate."},
            "usable": {
                "type": "array",
                "items": {"type": "string", "format": "uri"},
                "description": "The directories of the CAs that CAA lets issue.",
            },
            "checks": {
                "type": "array",
                "description": "The cause before its consequences.",
                "items": closed(
                    {
                        "check": TEXT,
                        "code": CODE,
                        "ok": {"type": "boolean"},
                        "blocking": {"type": "boolean", "description": "No certificate is ordered until it is mended."},
                        "who": WHO,
                        "message": TEXT,
                        "expected": {},
                        "found": {},
                    }
                ),
            },
        },
        examples=[examples.DIAGNOSIS],
    ),
    "Audit": closed(
        {
            "data": {
                "type": "array",
                "maxItems": MAX_LIMIT,
                "items": closed(
                    {
                        "id": {"type": "integer"},
                        "at": MOMENT,
                        "hostname": TEXT,
                        "actor": {**TEXT, "description": "`tenant:` and the token's subject, or `platform`."},
                        "action": CODE,
                        "detail": {"type": "object"},
                    }
                ),
            },
            "nextCursor": {"type": ["string", "null"], "pattern": ENTRY_CURSOR_PATTERN},
        },
        examples=[examples.AUDIT],
    ),
    "Quota": closed(
        {
            "limit": {**COUNT, "description": "Domains that the plan allows."},
            "used": COUNT,
            "remaining": COUNT,
            "byStatus": closed(dict.fromkeys(STATUSES, COUNT)),
            "registrations": closed(
                {"hours": {"type": "integer", "minimum": 1}, "limit": COUNT, "used": COUNT, "remaining": COUNT},
                description="How many may be registered within so many hours, deleted ones included.",
            ),
        },
        examples=[examples.QUOTA],
    ),
}
