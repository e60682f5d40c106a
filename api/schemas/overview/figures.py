"""What is wrong just now, and figures."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.overview.figures import SOON_DAYS
from api.overview.troubles import LEVELS
from api.schemas.overview.domains import SSL_STATUS, STATUS
from api.schemas.schema import AGE, CODE, COUNT, MOMENT, OPTIONAL_MOMENT, TEXT, WHO, Schema, array, closed, nullable

_FIGURES = closed(
    {
        "countedAt": MOMENT,
        "age": AGE,
        "tookMs": COUNT,
        "tenants": COUNT,
        "domains": COUNT,
        "states": array(closed({"status": STATUS, "sslStatus": SSL_STATUS, "domains": COUNT})),
        "failing": array(closed({"code": CODE, "who": WHO, "domains": COUNT, "example": TEXT})),
        "paused": closed({"byTenant": COUNT, "byPlatform": COUNT}),
        "certificates": closed(
            {
                "expired": COUNT,
                "endingInDays": closed({str(days): COUNT for days in SOON_DAYS}),
                "renewalsLate": COUNT,
                "renewalsDueInADay": COUNT,
            }
        ),
        "orders": closed({"first": COUNT, "renewals": COUNT}, description="Those that wait for their turn."),
        "notifications": closed(
            {"waiting": COUNT, "oldest": OPTIONAL_MOMENT, "dead": COUNT, "endpointsFailing": COUNT}
        ),
        "audit": closed({"unanchored": COUNT, "uncoveredSince": OPTIONAL_MOMENT, "checkpoint": OPTIONAL_MOMENT}),
    }
)
_EXAMPLE_FIGURES = {
    "countedAt": examples.AT,
    "age": 4.2,
    "tookMs": 131,
    "tenants": 214,
    "domains": 1_000_000,
    "states": [{"status": "active", "sslStatus": "issued", "domains": 1_000_000}],
    "failing": [{"code": "caa_forbids", "who": "tenant", "domains": 7, "example": "shop.mybrand.co"}],
    "paused": {"byTenant": 1, "byPlatform": 2},
    "certificates": {
        "expired": 0,
        "endingInDays": {"1": 0, "7": 2, "30": 31},
        "renewalsLate": 1,
        "renewalsDueInADay": 16_500,
    },
    "orders": {"first": 3, "renewals": 120},
    "notifications": {"waiting": 1, "oldest": examples.AT, "dead": 2, "endpointsFailing": 1},
    "audit": {"unanchored": 3, "uncoveredSince": examples.AT, "checkpoint": examples.AT},
}

SCHEMAS: Mapping[str, Schema] = {
    "Overview": closed(
        {
            "at": MOMENT,
            "replica": {**TEXT, "description": "Whose ears these are."},
            "problems": array(
                closed(
                    {
                        "code": CODE,
                        "level": {"type": "string", "enum": list(LEVELS)},
                        "message": TEXT,
                        "page": {**nullable(TEXT), "description": "Where it is shown."},
                        "command": {**nullable(TEXT), "description": "What looks further, or mends it."},
                    }
                )
            ),
            "sidecars": closed({"live": COUNT, "upToDate": COUNT, "gone": COUNT, "heardAll": {"type": "boolean"}}),
            "envoys": closed({"connected": COUNT, "acknowledged": COUNT, "rejecting": COUNT}),
            "figures": _FIGURES,
        },
        examples=[
            {
                "at": examples.AT,
                "replica": "control-1-4f2d",
                "problems": [
                    {
                        "code": "renewals_late",
                        "level": "danger",
                        "message": "1 renewal is late.",
                        "page": "/ui/operator/domains?late=true",
                        "command": None,
                    }
                ],
                "sidecars": {"live": 3, "upToDate": 3, "gone": 0, "heardAll": True},
                "envoys": {"connected": 3, "acknowledged": 3, "rejecting": 0},
                "figures": _EXAMPLE_FIGURES,
            }
        ],
    ),
}
