"""The parameters and headers of the API, as OpenAPI describes them. Only data."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.auth import MAX_SUBJECT
from api.endpoints import DELIVERY_STATES
from api.exchange import REQUEST_ID_PATTERN
from api.idempotency import KEY_PATTERN
from api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from api.query import NO_CONTROL, VISIBLE
from api.schemas.admin import NAME_PATTERN
from api.schemas.schema import WHO, Schema
from api.service import SSL_STATUSES, STATUSES

PARAMETERS: Mapping[str, Schema] = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
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
        "example": examples.CURSOR,
    },
    "auditCursor": {
        "name": "cursor",
        "in": "query",
        "description": "`nextCursor` of the page before, unread.",
        "schema": {"type": "string", "format": "entry-cursor"},
        "example": examples.ENTRY_CURSOR,
    },
    "status": {
        "name": "status",
        "in": "query",
        "description": "Only domains with this status.",
        "schema": {"type": "string", "enum": list(STATUSES)},
    },
    "sslStatus": {
        "name": "sslStatus",
        "in": "query",
        "description": "Goes with `status`.",
        "schema": {"type": "string", "enum": list(SSL_STATUSES)},
    },
    "placeCursor": {
        "name": "cursor",
        "in": "query",
        "description": "`nextCursor` of the page before of the same list, unread.",
        "schema": {"type": "string", "format": "place-cursor"},
    },
    "q": {
        "name": "q",
        "in": "query",
        "description": "What hostnames begin with, or end with.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": f"^{VISIBLE.pattern}$"},
        "example": "mybrand.co",
    },
    "ofTenant": {
        "name": "tenant",
        "in": "query",
        "description": "Only this tenant's.",
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
    },
    "failing": {
        "name": "failing",
        "in": "query",
        "description": "Domains that fail: the code of the reason, or `any`.",
        "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "example": "caa_forbids",
    },
    "who": {
        "name": "who",
        "in": "query",
        "description": "Goes with `failing`: who has to act.",
        "schema": WHO,
    },
    "paused": {
        "name": "paused",
        "in": "query",
        "description": "Domains that are paused, by their tenants or by the platform.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "expiring": {
        "name": "expiring",
        "in": "query",
        "description": "Domains whose certificate ends within so many days, the first to end first.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 398},
    },
    "late": {
        "name": "late",
        "in": "query",
        "description": "Domains whose renewal should be over.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "auditHostname": {
        "name": "hostname",
        "in": "query",
        "description": "The whole hostname.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": f"^{VISIBLE.pattern}$"},
        "example": "shop.mybrand.co",
    },
    "actor": {
        "name": "actor",
        "in": "query",
        "description": "As `tenant:alice`; `tenant:`, `operator:` or `control:` for all of a kind.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 300, "pattern": f"^{NO_CONTROL.pattern}$"},
        "example": "operator:",
    },
    "action": {
        "name": "action",
        "in": "query",
        "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "example": "ssl_issue",
    },
    "since": {
        "name": "since",
        "in": "query",
        "description": "Not before this moment.",
        "schema": {"type": "string", "format": "date-time"},
        "example": "2026-04-22T02:00:00Z",
    },
    "until": {
        "name": "until",
        "in": "query",
        "description": "Before this moment.",
        "schema": {"type": "string", "format": "date-time"},
        "example": "2026-04-23T02:00:00Z",
    },
    "host": {
        "name": "host",
        "in": "query",
        "required": True,
        "description": "As a client would write it, with or without a port.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 300, "pattern": f"^{VISIBLE.pattern}$"},
        "example": "shop.mybrand.co",
    },
    "sni": {
        "name": "sni",
        "in": "query",
        "description": "The TLS server name; empty: none. Without it: the host's own.",
        "schema": {"type": "string", "maxLength": 300, "pattern": r"^[!-~]*$"},
    },
    "path": {
        "name": "path",
        "in": "query",
        "description": "Of a request on the plain listener.",
        "schema": {"type": "string", "maxLength": 500, "pattern": r"^/[!-~]*$"},
    },
    "sidecar": {
        "name": "sidecar",
        "in": "query",
        "description": "Only this one is asked.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": f"^{VISIBLE.pattern}$"},
    },
    "subject": {
        "name": "subject",
        "in": "query",
        "required": True,
        "description": "Of the token that their links were made with.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_SUBJECT, "pattern": f"^{NO_CONTROL.pattern}$"},
        "example": "alice",
    },
    "endpoint": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Of an endpoint.",
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
    },
    "consumer": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Of a consumer.",
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
    },
    "delivery": {
        "name": "delivery",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
    },
    "deliveryState": {
        "name": "state",
        "in": "query",
        "description": "Only deliveries in this state.",
        "schema": {"type": "string", "enum": list(DELIVERY_STATES)},
    },
    "name": {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": "shop",
    },
    "tenant": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Of a tenant.",
        "schema": {"type": "string", "format": "uuid"},
        "example": examples.ID,
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Only if it is as it was when it had one of these entity tags; *: only if it is there.",
        "schema": {"type": "string", "format": "entity-tags"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "*: only if it is not there yet.",
        "schema": {"type": "string", "format": "entity-tags"},
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
    "ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'}},
    "Link": {"description": "rel=next, when there is a next page.", "schema": {"type": "string"}},
    "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}},
    "Retry-After-409": {
        "description": "With `hostname_cooling_down`: seconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "pattern": "^Bearer "}},
}
