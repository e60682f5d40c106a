"""The JSON Schemas (2020-12) of what the API takes and gives, with an example each. Only data."""

from __future__ import annotations

from collections.abc import Mapping

from api.schemas import admin, client_auth, domains, notifications, overview, portal, propagation, uploads
from api.schemas.schema import CODE, TEXT, WHO, Schema

SCHEMAS: Mapping[str, Schema] = {
    **domains.SCHEMAS,
    **uploads.SCHEMAS,
    **client_auth.SCHEMAS,
    **propagation.SCHEMAS,
    **notifications.SCHEMAS,
    **portal.SCHEMAS,
    **admin.SCHEMAS,
    **overview.SCHEMAS,
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is what programs compare; further members depend on it.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "code": CODE,
            "who": {**WHO, "description": "Who must act for the request to succeed; nobody: it passes by itself."},
            "pointer": {"type": "string", "description": "The member of the body at fault (RFC 6901)."},
            "parameter": {"type": "string", "description": "The query parameter at fault."},
            "domain": {"type": "string", "format": "uri-reference", "description": "The domain there is already."},
            "retryAfter": {"type": "integer", "minimum": 1, "description": "Seconds; in the lines of an import."},
        },
        "required": ["type", "title", "status", "detail", "code", "who"],
    },
}
