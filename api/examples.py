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
