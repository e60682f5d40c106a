"""An example of each of the API's schemas. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.pagination import encode_cursor, encode_entry_cursor
from api.service import Position

ID = "0b8f0a86-4d0c-4a55-9a3b-5f3f0f5ad6a1"
TOKEN = "verify-4f2d7c9a1be84a06b0f6d1c1a7e3955d"  # noqa: S105 -- an example
AT, LATER = "2026-04-22T02:00:00.000Z", "2026-04-22T02:10:00.000Z"
CURSOR = encode_cursor(Position(datetime(2026, 4, 22, 2, tzinfo=UTC), UUID(ID)))
FINGERPRINT = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
ENTRY_CURSOR = encode_entry_cursor(17)

REGISTRATION: Mapping[str, Any] = {
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

FACTS: Mapping[str, Any] = {
    "serial": "3a1f",
    "issuer": "E7",
    "fingerprint": FINGERPRINT,
    "notBefore": "2026-04-22T01:02:40.000Z",
    "notAfter": "2026-07-21T01:02:39.000Z",
}

CHAIN_PEM = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
KEY_PEM = "-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"

CERTIFICATES: Mapping[str, Any] = {
    "id": ID,
    "hostname": "shop.mybrand.co",
    "inUse": "uploaded",
    "serving": True,
    "uploaded": {
        "serial": "7b21c0",
        "issuer": "My Brand Issuing CA 2",
        "fingerprint": FINGERPRINT[::-1],
        "notBefore": "2026-04-01T00:00:00.000Z",
        "notAfter": "2026-05-01T00:00:00.000Z",
        "names": ["shop.mybrand.co"],
        "uploadedAt": "2026-04-20T11:40:02.118Z",
        "servedUntil": "2026-04-30T23:00:00.000Z",
        "warning": {
            "code": "certificate_expires_soon",
            "message": "The uploaded certificate ends at 2026-05-01T00:00:00.000Z; upload the next one before that.",
            "days": 8,
        },
    },
    "managed": FACTS,
}

DOMAIN: Mapping[str, Any] = {
    **REGISTRATION,
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
    "certificate": {"source": "managed", **FACTS},
    "certificateWarning": None,
    "certExpiry": "2026-07-21T01:02:39.000Z",
    "renewAt": "2026-06-20T17:41:02.310Z",
    "challenges": ["http-01"],
    "failureCount": 0,
    "nextAttempt": None,
}

DOMAIN_PATH = f"/api/v1/domains/{ID}"
PROBLEM: Mapping[str, Any] = {
    "type": "/problems/has_port",
    "title": "The hostname has a port",
    "status": 422,
    "detail": "Give the hostname alone, without a port.",
    "code": "has_port",
    "who": "tenant",
    "pointer": "/hostnames/1",
}

REPORT: Mapping[str, Any] = {
    "created": 1,
    "existing": 0,
    "failed": 1,
    "lines": [
        {
            "line": 1,
            "hostname": "shop.mybrand.co",
            "result": "created",
            "domain": DOMAIN_PATH,
            "registration": REGISTRATION,
        },
        {"line": 2, "hostname": None, "result": "error", "problem": PROBLEM},
    ],
}

DIAGNOSIS: Mapping[str, Any] = {
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

AUDIT: Mapping[str, Any] = {
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

QUOTA: Mapping[str, Any] = {
    "limit": 5,
    "used": 2,
    "remaining": 3,
    "byStatus": {"pending": 1, "dns_check": 0, "verified": 0, "active": 1, "failed": 0, "moved": 0},
    "registrations": {"hours": 24, "limit": 50, "used": 2, "remaining": 48},
}

PROPAGATION: Mapping[str, Any] = {
    "generation": 81_544,
    "sidecars": {"live": 3, "have": 3, "silent": 0},
    "envoys": {"connected": 3, "acknowledged": 3, "rejected": 0},
    "heardAge": 2.104,
    "complete": True,
}

ENDPOINT: Mapping[str, Any] = {
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

DELIVERY: Mapping[str, Any] = {
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

CA_PEM = CHAIN_PEM

CLIENT_AUTH: Mapping[str, Any] = {
    "id": ID,
    "hostname": "mycompany.com",
    "mode": "required",
    "skipConsumerLookup": False,
    "identifyBy": ["san", "subject", "fingerprint"],
    "groupsFrom": "OU",
    "caCertificates": CA_PEM,
    "crl": None,
    "authorities": [
        {
            "subject": "My Company Clients",
            "serial": "5ec3b7a6",
            "fingerprint": FINGERPRINT,
            "notBefore": "2026-01-01T00:00:00.000Z",
            "notAfter": "2036-01-01T00:00:00.000Z",
        }
    ],
    "revocationLists": [],
    "createdAt": "2026-04-22T02:00:00.000Z",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

CONSUMER: Mapping[str, Any] = {
    "id": ID,
    "name": "orders",
    "kind": "san",
    "value": "uri:spiffe://mybrand.co/orders",
    "groups": ["shop"],
    "createdAt": "2026-04-22T02:00:00.000Z",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

SERVICE: Mapping[str, Any] = {
    "name": "shop",
    "spec": {
        "addresses": [{"host": "shop.internal", "port": 8443}],
        "protocol": "http2",
        "connectTimeoutMs": 2000,
        "requestTimeoutMs": 0,
        "idleTimeoutMs": 60000,
        "maxConnectionDurationMs": 3600000,
        "healthCheck": {"path": "/healthz", "intervalMs": 5000, "timeoutMs": 1000, "unhealthy": 3, "healthy": 2},
        "circuitBreaker": {"maxConnections": 1024, "maxPending": 1024, "maxRequests": 1024, "maxRetries": 3},
        "tls": {"sni": "shop.internal", "names": ["shop.internal"], "trust": "internal", "identity": None},
    },
    "chosenBy": {"tenants": 12, "domains": 1},
    "createdAt": "2026-04-22T02:00:00.000Z",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

TRUST: Mapping[str, Any] = {
    "name": "internal",
    "authorities": [
        {
            "subject": "Internal Root 1",
            "serial": "5ec3b7a6",
            "fingerprint": FINGERPRINT,
            "notBefore": "2026-01-01T00:00:00.000Z",
            "notAfter": "2036-01-01T00:00:00.000Z",
        }
    ],
    "usedBy": ["shop"],
    "createdAt": "2026-04-22T02:00:00.000Z",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

IDENTITY: Mapping[str, Any] = {
    "name": "default",
    **FACTS,
    "names": ["edge.platform.io"],
    "usedBy": [],
    "createdAt": "2026-04-22T02:00:00.000Z",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

CHOICE: Mapping[str, Any] = {
    "tenant": ID,
    "domain": None,
    "service": "shop",
    "updatedAt": "2026-04-22T02:00:00.000Z",
}

PORTAL_LINK: Mapping[str, Any] = {
    "url": "https://domains.platform.io/ui/enter?ticket=eyJ2IjoxfQ.c2lnbmF0dXJl",
    "expiresAt": "2026-04-22T02:01:00.000Z",
}
