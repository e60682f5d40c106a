"""What the API can do: each operation with everything it can answer. Only data.

The routes, the OpenAPI document and the tests are made from this table, so they cannot disagree about it.
"""

from __future__ import annotations

from api.operations import admin, client_auth, domains, notifications, overview, portal, propagation, uploads
from api.operations.operation import Operation

PREFIXES = ("/api/v1", "/v1")

OPERATIONS: tuple[Operation, ...] = (
    *domains.OPERATIONS,
    *uploads.OPERATIONS,
    *client_auth.OPERATIONS,
    *propagation.OPERATIONS,
    *notifications.OPERATIONS,
    *portal.OPERATIONS,
    *admin.OPERATIONS,
    *overview.OPERATIONS,
)
