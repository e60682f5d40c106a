"""Upstream services, what they are trusted by and shown, and who is sent there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples
from api.schemas.schema import COUNT, HEX, ID, MOMENT, TEXT, Schema, array, closed, nullable, or_null, reference
from core.bounds import BREAKER, HEALTH, PORT, TIMES, Bounds
from core.service import MAX_ADDRESSES, MAX_NAMES, MAX_PATH, PROTOCOLS
from core.trust import MAX_CERTIFICATES, MAX_SIZE

NAME_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

_NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
_STAMPS: Mapping[str, Any] = {"createdAt": MOMENT, "updatedAt": MOMENT}
_USED_BY: Schema = {"type": "array", "items": _NAME, "description": "The services that name it."}
_MEANINGS: Mapping[str, str] = {
    "connectTimeoutMs": "Until a connection is there.",
    "requestTimeoutMs": "Until the answer is complete; 0: no limit.",
    "idleTimeoutMs": "After which an unused connection is closed.",
    "maxConnectionDurationMs": "After which a connection takes no more requests; it keeps the certificates that it "
    "was made with for so long.",
    "unhealthy": "Failures in a row.",
    "healthy": "Successes in a row.",
}


def _numbers(table: Mapping[str, tuple[str, Bounds]]) -> dict[str, Any]:
    return {
        member: {
            "type": "integer",
            "minimum": bounds.least,
            "maximum": bounds.most,
            "default": bounds.default,
            **({"description": _MEANINGS[member]} if member in _MEANINGS else {}),
        }
        for member, bounds in table.values()
    }


def _all_optional(properties: Mapping[str, Any], **more: Any) -> Schema:
    return closed(properties, optional=tuple(properties), **more)


_ADDRESS = closed(
    {
        "host": {"type": "string", "minLength": 1, "maxLength": 254, "format": "upstream-host"},
        "port": {"type": "integer", "minimum": PORT.least, "maximum": PORT.most},
    }
)
_HEALTH_CHECK = _all_optional(
    {
        "path": {"type": "string", "pattern": r'^/[!"$-~]*$', "maxLength": MAX_PATH, "default": "/"},
        **_numbers(HEALTH),
    }
)
_TLS = _all_optional(
    {
        "sni": {
            "type": ["string", "null"],
            "format": "upstream-host",
            "description": "The server name that is asked for. Left out: the one hostname of the addresses.",
        },
        "names": {
            "type": "array",
            "maxItems": MAX_NAMES,
            "items": {"type": "string", "format": "upstream-host"},
            "description": "DNS names, IP addresses or URIs, one of which the upstream's certificate must have. Left "
            "out: the sni, or the hostnames of the addresses.",
        },
        "trust": {
            **nullable(_NAME),
            "description": "A bundle of authorities; system: the machine's own; null: the bundle called default.",
        },
        "identity": {
            **nullable(_NAME),
            "description": "The client certificate to show; null: the one called default, if there is one.",
        },
    }
)
_SPEC: Mapping[str, Any] = {
    "addresses": {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_ADDRESSES,
        "items": _ADDRESS,
        "description": "All IP addresses, or all hostnames.",
    },
    "protocol": {"type": "string", "enum": list(PROTOCOLS), "default": "http1"},
    **_numbers(TIMES),
    "healthCheck": or_null(_HEALTH_CHECK),
    "circuitBreaker": or_null(_all_optional(_numbers(BREAKER))),
    "tls": {"oneOf": [{"type": "null"}, _TLS], "description": "null: in the clear."},
}
_AUTHORITY = closed(
    {"subject": TEXT, "serial": HEX, "fingerprint": HEX, "notBefore": MOMENT, "notAfter": MOMENT},
)
_TRUST: Mapping[str, Any] = {
    "name": _NAME,
    "authorities": array(_AUTHORITY),
    "usedBy": _USED_BY,
    **_STAMPS,
}

SCHEMAS: Mapping[str, Schema] = {
    "ServiceSpec": closed(
        _SPEC,
        optional=tuple(name for name in _SPEC if name != "addresses"),
        examples=[{"addresses": [{"host": "10.0.0.7", "port": 8080}]}, examples.SERVICE["spec"]],
    ),
    "Service": closed(
        {
            "name": _NAME,
            "spec": reference("ServiceSpec"),
            "chosenBy": closed({"tenants": COUNT, "domains": COUNT}),
            **_STAMPS,
        },
        examples=[examples.SERVICE],
    ),
    "ServiceList": closed({"data": array(reference("Service"))}, examples=[{"data": [examples.SERVICE]}]),
    "NewTrust": closed(
        {
            "pem": {
                "type": "string",
                "minLength": 1,
                "description": f"Certificates of authorities in PEM: at most {MAX_CERTIFICATES}, and "
                f"{MAX_SIZE // 1024} KB.",
            }
        },
        examples=[{"pem": examples.CA_PEM}],
    ),
    "Trust": closed({**_TRUST, "pem": TEXT}, examples=[{**examples.TRUST, "pem": examples.CA_PEM}]),
    "TrustList": closed({"data": {"type": "array", "items": closed(_TRUST)}}, examples=[{"data": [examples.TRUST]}]),
    "NewIdentity": closed(
        {
            "certificate": {
                "type": "string",
                "minLength": 1,
                "description": "The leaf and what issued it, in PEM, in any order; a root may be left out.",
            },
            "privateKey": {
                "type": "string",
                "minLength": 1,
                "writeOnly": True,
                "description": "The leaf's key, in PEM, without a passphrase.",
            },
        },
        examples=[{"certificate": examples.CHAIN_PEM, "privateKey": examples.KEY_PEM}],
    ),
    "Identity": closed(
        {
            "name": _NAME,
            "serial": HEX,
            "issuer": TEXT,
            "fingerprint": HEX,
            "names": array(TEXT),
            "notBefore": MOMENT,
            "notAfter": MOMENT,
            "usedBy": _USED_BY,
            **_STAMPS,
        },
        examples=[examples.IDENTITY],
    ),
    "IdentityList": closed({"data": array(reference("Identity"))}, examples=[{"data": [examples.IDENTITY]}]),
    "NewChoice": closed({"service": _NAME}, examples=[{"service": "shop"}]),
    "Choice": closed(
        {
            "tenant": ID,
            "domain": {"type": ["string", "null"], "format": "uuid", "description": "null: of the whole tenant."},
            "service": {**nullable(_NAME), "description": "null: nothing is chosen."},
            "updatedAt": nullable(MOMENT),
        },
        examples=[examples.CHOICE],
    ),
}
