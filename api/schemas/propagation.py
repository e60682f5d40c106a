"""How far the last change of a domain has come."""

from __future__ import annotations

from collections.abc import Mapping

from api import examples
from api.schemas.schema import COUNT, Schema, closed, nullable

SCHEMAS: Mapping[str, Schema] = {
    "Propagation": closed(
        {
            "generation": {
                "type": "integer",
                "minimum": 0,
                "description": "The change that is asked about: the newest of the domain, or of what all domains "
                "share. It grows.",
            },
            "sidecars": closed(
                {
                    "live": COUNT,
                    "have": {**COUNT, "description": "Those that have applied the change."},
                    "silent": {**COUNT, "description": "Those of an older release, which do not count their Envoys."},
                }
            ),
            "envoys": closed(
                {
                    "connected": COUNT,
                    "acknowledged": {
                        **COUNT,
                        "description": "Those that have taken what came of the change, or hold nothing of it.",
                    },
                    "rejected": {**COUNT, "description": "Those that refuse it, or could not be given it."},
                }
            ),
            "heardAge": {
                **nullable({"type": "number", "minimum": 0}),
                "description": "Seconds since the live sidecar that was silent the longest was heard.",
            },
            "complete": {
                "type": "boolean",
                "description": "Every live sidecar has it, every Envoy has acknowledged it, and there is at least "
                "one sidecar.",
            },
        },
        examples=[examples.PROPAGATION],
    ),
}
