"""What is spent of each CA's limits."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.schemas.schema import COUNT, MOMENT, OPTIONAL_MOMENT, TEXT, Schema, array, closed, nullable

_BUCKET = closed(
    {
        "limit": TEXT,
        "subject": TEXT,
        "key": {**TEXT, "description": "What it is kept for; empty: the account."},
        "capacity": COUNT,
        "used": COUNT,
        "room": {**COUNT, "description": "What may be spent now; some of the rest is held back."},
        "nextAt": OPTIONAL_MOMENT,
        "fullAt": OPTIONAL_MOMENT,
    }
)

SCHEMAS: Mapping[str, Schema] = {
    "LimitList": closed(
        {
            "data": array(
                closed(
                    {
                        "ca": TEXT,
                        "directoryUrl": TEXT,
                        "account": array(_BUCKET),
                        "busiest": array(_BUCKET),
                        "refused": array(closed({"scope": TEXT, "key": TEXT, "until": MOMENT})),
                        "forecast": closed(
                            {
                                "ordersPerDay": {**nullable(COUNT), "description": "null: no limit is known."},
                                "ordersWaiting": COUNT,
                                "lastTurnAt": OPTIONAL_MOMENT,
                                "renewalsDueInADay": COUNT,
                            }
                        ),
                    }
                )
            )
        },
        examples=[
            {
                "data": [
                    {
                        "ca": "letsencrypt",
                        "directoryUrl": "https://ca.test/directory",
                        "account": [
                            {
                                "limit": "order",
                                "subject": "the platform's account at the CA",
                                "key": "",
                                "capacity": 300,
                                "used": 12,
                                "room": 273,
                                "nextAt": None,
                                "fullAt": examples.LATER,
                            }
                        ],
                        "busiest": [],
                        "refused": [],
                        "forecast": {
                            "ordersPerDay": 2400,
                            "ordersWaiting": 0,
                            "lastTurnAt": None,
                            "renewalsDueInADay": 300,
                        },
                    }
                ]
            }
        ],
    ),
}
