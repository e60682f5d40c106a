"""The audit of all tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from api import examples
from api.overview.audit import SealState
from api.schemas.schema import COUNT, ID, MOMENT, TEXT, Schema, closed, nullable, page_of

SCHEMAS: Mapping[str, Schema] = {
    "AdminAuditList": {
        **page_of(
            closed(
                {
                    "id": COUNT,
                    "at": MOMENT,
                    "tenant": {**ID, "description": "All zeros: the platform itself."},
                    "domain": ID,
                    "hostname": TEXT,
                    "actor": TEXT,
                    "action": TEXT,
                    "detail": {"type": "object"},
                    "chain": closed(
                        {
                            "seq": {**nullable(COUNT), "description": "Its place in its tenant's chain."},
                            "state": {"type": "string", "enum": list(get_args(SealState))},
                            "anchored": {"type": "boolean", "description": "A checkpoint covers it."},
                        }
                    ),
                }
            )
        ),
        "examples": [
            {
                "data": [
                    {
                        **examples.AUDIT["data"][0],
                        "tenant": examples.ID,
                        "domain": examples.ID,
                        "chain": {"seq": 1, "state": "sealed", "anchored": True},
                    }
                ],
                "nextCursor": None,
            }
        ],
    },
}
