"""The processes of control, and how the CAs have answered each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from api import examples
from api.overview.replicas import CaState
from api.schemas.schema import AGE, CODE, COUNT, MOMENT, OPTIONAL_MOMENT, TEXT, Schema, array, closed, or_null

_FAILURE = closed({"code": CODE, "message": TEXT, "at": MOMENT})

SCHEMAS: Mapping[str, Schema] = {
    "ReplicaList": closed(
        {
            "data": array(
                closed(
                    {
                        "replica": TEXT,
                        "startedAt": MOMENT,
                        "heardAge": AGE,
                        "live": {"type": "boolean"},
                        "ended": {"type": "boolean", "description": "It has said that it ends."},
                        "answering": {"type": "boolean", "description": "This answer is its own."},
                        "cas": array(
                            closed(
                                {
                                    "ca": TEXT,
                                    "directoryUrl": TEXT,
                                    "state": {"type": "string", "enum": list(get_args(CaState))},
                                    "failures": {**COUNT, "description": "In a row."},
                                    "outages": COUNT,
                                    "passedOverUntil": OPTIONAL_MOMENT,
                                    "lastFailure": or_null(_FAILURE),
                                    "lastSuccessAt": OPTIONAL_MOMENT,
                                }
                            )
                        ),
                    }
                )
            )
        },
        examples=[
            {
                "data": [
                    {
                        "replica": "control-1-4f2d",
                        "startedAt": examples.AT,
                        "heardAge": 3.1,
                        "live": True,
                        "ended": False,
                        "answering": True,
                        "cas": [
                            {
                                "ca": "letsencrypt",
                                "directoryUrl": "https://ca.test/directory",
                                "state": "out",
                                "failures": 3,
                                "outages": 1,
                                "passedOverUntil": examples.LATER,
                                "lastFailure": {
                                    "code": "ca_unavailable",
                                    "message": "It does not answer.",
                                    "at": examples.AT,
                                },
                                "lastSuccessAt": None,
                            }
                        ],
                    }
                ]
            }
        ],
    ),
}
