"""The sidecars and their Envoys."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.schemas.schema import AGE, COUNT, OPTIONAL_MOMENT, TEXT, Schema, array, closed, nullable

SCHEMAS: Mapping[str, Schema] = {
    "SidecarList": closed(
        {
            "replica": TEXT,
            "generation": {**COUNT, "description": "The newest change. It grows."},
            "changedAt": OPTIONAL_MOMENT,
            "listening": AGE,
            "heardAll": {"type": "boolean", "description": "Whoever is alive was heard by now."},
            "data": array(
                closed(
                    {
                        "id": TEXT,
                        "live": {"type": "boolean"},
                        "heardAge": {**AGE, "description": "Its feed is not older."},
                        "generation": {**COUNT, "description": "It has applied every change before this one."},
                        "upToDate": {"type": "boolean", "description": "It has applied the newest change."},
                        "envoys": closed(
                            {
                                name: {**nullable(COUNT), "description": "null: it is of an older release."}
                                for name in ("connected", "acknowledged", "rejecting", "rejectedNames")
                            }
                        ),
                        "answersQuestions": {"type": "boolean"},
                    }
                )
            ),
        },
        examples=[
            {
                "replica": "control-1-4f2d",
                "generation": 81_544,
                "changedAt": examples.AT,
                "listening": 5021.4,
                "heardAll": True,
                "data": [
                    {
                        "id": "edge-1:9902",
                        "live": True,
                        "heardAge": 2.104,
                        "generation": 81_545,
                        "upToDate": True,
                        "envoys": {"connected": 1, "acknowledged": 1, "rejecting": 0, "rejectedNames": 0},
                        "answersQuestions": True,
                    }
                ],
            }
        ],
    ),
}
