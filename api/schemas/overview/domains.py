"""Domains of all tenants, with all that was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.schemas.schema import (
    CODE,
    COUNT,
    HEX,
    ID,
    MOMENT,
    OPTIONAL_MOMENT,
    TEXT,
    WHO,
    Schema,
    closed,
    nullable,
    or_null,
    page_of,
    reference,
)
from api.service import SSL_STATUSES, STATUSES

STATUS: Schema = {"type": "string", "enum": list(STATUSES)}
SSL_STATUS: Schema = {"type": "string", "enum": list(SSL_STATUSES)}
_FINDING: Mapping[str, Any] = {"code": CODE, "message": TEXT, "who": WHO, "at": MOMENT}
_DOMAIN: Mapping[str, Any] = {
    "id": ID,
    "tenant": ID,
    "slug": TEXT,
    "hostname": TEXT,
    "status": STATUS,
    "sslStatus": SSL_STATUS,
    "reason": {**or_null(closed(_FINDING)), "description": "What stands in its way, or was found last."},
    "pausedBy": {"type": ["string", "null"], "enum": ["tenant", "platform", None]},
    "certificate": {"type": ["string", "null"], "enum": ["managed", "uploaded", None]},
    "certExpiry": {**OPTIONAL_MOMENT, "description": "Of the certificate in use."},
    "renewAt": OPTIONAL_MOMENT,
    "renewalLate": {"type": "boolean"},
    "nextAttempt": or_null(closed({"at": MOMENT, "code": CODE, "message": TEXT})),
    "failureCount": COUNT,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "deletedAt": OPTIONAL_MOMENT,
}
_WHOLE = closed({**_FINDING, "detail": {"type": "object"}})
_EXAMPLE: Mapping[str, Any] = {
    "id": examples.ID,
    "tenant": examples.ID,
    "slug": "acme",
    "hostname": "shop.mybrand.co",
    "status": "active",
    "sslStatus": "error",
    "reason": {"code": "caa_forbids", "message": "The CAA records forbid it.", "who": "tenant", "at": examples.AT},
    "pausedBy": None,
    "certificate": "managed",
    "certExpiry": examples.LATER,
    "renewAt": examples.AT,
    "renewalLate": True,
    "nextAttempt": None,
    "failureCount": 3,
    "createdAt": examples.AT,
    "updatedAt": examples.AT,
    "deletedAt": None,
}

SCHEMAS: Mapping[str, Schema] = {
    "AdminDomainRow": closed(_DOMAIN, examples=[_EXAMPLE]),
    "AdminDomainList": {
        **page_of(reference("AdminDomainRow")),
        "examples": [{"data": [_EXAMPLE], "nextCursor": None}],
    },
    "AdminDomain": closed(
        {
            **_DOMAIN,
            "generation": COUNT,
            "dns": or_null(_WHOLE),
            "ssl": or_null(_WHOLE),
            "certificateFacts": or_null(
                closed(
                    {
                        "source": {"type": "string", "enum": ["managed", "uploaded"]},
                        "ca": {**nullable(TEXT), "description": "The directory that it is from."},
                        "serial": HEX,
                        "issuer": TEXT,
                        "fingerprint": HEX,
                        "notBefore": MOMENT,
                        "notAfter": MOMENT,
                    }
                )
            ),
            "job": or_null(
                closed(
                    {
                        "kind": {"type": "string", "enum": ["verify", "obtain", "revoke"]},
                        "runAt": MOMENT,
                        "attempts": COUNT,
                        "replica": {**nullable(TEXT), "description": "That works on it now."},
                    }
                )
            ),
        },
        examples=[
            {
                **_EXAMPLE,
                "generation": 81_544,
                "dns": None,
                "ssl": {**_EXAMPLE["reason"], "detail": {"expected": ["letsencrypt.org"]}},
                "certificateFacts": {"source": "managed", "ca": "https://ca.test/directory", **examples.FACTS},
                "job": {"kind": "obtain", "runAt": examples.AT, "attempts": 2, "replica": None},
            }
        ],
    ),
}
