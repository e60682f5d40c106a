"""What the sidecars say of a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from api import examples
from api.overview.explanations import AnswerState
from api.schemas.schema import AGE, CODE, MOMENT, TEXT, Schema, array, closed, nullable, or_null

SCHEMAS: Mapping[str, Schema] = {
    "Explanation": closed(
        {
            "host": TEXT,
            "sni": TEXT,
            "path": TEXT,
            "at": MOMENT,
            "waited": AGE,
            "facts": array(
                closed(
                    {
                        "fact": TEXT,
                        "differs": {"type": "boolean"},
                        "values": {"type": "object", "additionalProperties": TEXT, "description": "By sidecar."},
                    }
                )
            ),
            "sidecars": array(
                closed(
                    {
                        "sidecar": TEXT,
                        "state": {"type": "string", "enum": list(get_args(AnswerState))},
                        "after": nullable(AGE),
                        "error": or_null(closed({"code": CODE, "message": TEXT})),
                        "answer": {
                            "type": ["object", "null"],
                            "description": "As the sidecar's own /explain says it.",
                        },
                    }
                )
            ),
        },
        examples=[
            {
                "host": "shop.mybrand.co",
                "sni": "shop.mybrand.co",
                "path": "/",
                "at": examples.AT,
                "waited": 0.021,
                "facts": [{"fact": "Would be served", "differs": False, "values": {"edge-1:9902": "yes"}}],
                "sidecars": [
                    {"sidecar": "edge-1:9902", "state": "answered", "after": 0.019, "error": None, "answer": {}}
                ],
            }
        ],
    ),
}
