"""Links to the pages."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.schemas.schema import COUNT, MOMENT, Schema, closed

SCHEMAS: Mapping[str, Schema] = {
    "PortalSession": closed(
        {
            "domain": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": "The domain whose page is opened; without it, the list.",
            }
        },
        optional=("domain",),
        examples=[{}, {"domain": examples.ID}],
    ),
    "PortalLink": closed(
        {
            "url": {"type": "string", "format": "uri", "description": "Whoever has it is in: send it to nobody else."},
            "expiresAt": MOMENT,
        },
        examples=[examples.PORTAL_LINK],
    ),
    "PortalEnding": closed({"ended": {**COUNT, "description": "Sessions."}}, examples=[{"ended": 2}]),
}
