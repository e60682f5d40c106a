"""What operators look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from api import examples
from api.admin.overview import AnswerState, CaState, SealState
from api.admin.troubles import LEVELS
from api.endpoints import DELIVERY_STATES
from api.schemas.schema import CODE, COUNT, HEX, MOMENT, TEXT, WHO, Schema, closed, nullable, reference
from api.service import SSL_STATUSES, STATUSES

_ID: Schema = {"type": "string", "format": "uuid"}
_AGE: Schema = {"type": "number", "minimum": 0, "description": "Seconds."}
_MAYBE_MOMENT = nullable(MOMENT)
_AT = "2026-04-22T02:00:00.000Z"
_MODEL: Final = "2026-04-22T02:10:00.000Z"


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _maybe(schema: Schema) -> Schema:
    return {"oneOf": [{"type": "null"}, schema]}


def _list(items: str) -> Schema:
    return closed({"data": _array(reference(items)), "nextCursor": nullable(TEXT)})


_FINDING: Mapping[str, Any] = {"code": CODE, "message": TEXT, "who": WHO, "at": MOMENT}
_FAILURE = closed({"code": CODE, "message": TEXT, "at": MOMENT})
_DOMAIN: Mapping[str, Any] = {
    "id": _ID,
    "tenant": _ID,
    "slug": TEXT,
    "hostname": TEXT,
    "status": {"type": "string", "enum": list(STATUSES)},
    "sslStatus": {"type": "string", "enum": list(SSL_STATUSES)},
    "reason": {**_maybe(closed(_FINDING)), "description": "What stands in its way, or was found last."},
    "pausedBy": {"type": ["string", "null"], "enum": ["tenant", "platform", None]},
    "certificate": {"type": ["string", "null"], "enum": ["managed", "uploaded", None]},
    "certExpiry": {**_MAYBE_MOMENT, "description": "Of the certificate in use."},
    "renewAt": _MAYBE_MOMENT,
    "renewalLate": {"type": "boolean"},
    "nextAttempt": _maybe(closed({"at": MOMENT, "code": CODE, "message": TEXT})),
    "failureCount": COUNT,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "deletedAt": _MAYBE_MOMENT,
}
_WHOLE = closed({**_FINDING, "detail": {"type": "object"}})
_BUCKET = closed(
    {
        "limit": TEXT,
        "subject": TEXT,
        "key": {**TEXT, "description": "What it is kept for; empty: the account."},
        "capacity": COUNT,
        "used": COUNT,
        "room": {**COUNT, "description": "What may be spent now; some of the rest is held back."},
        "nextAt": _MAYBE_MOMENT,
        "fullAt": _MAYBE_MOMENT,
    }
)
_FIGURES = closed(
    {
        "countedAt": MOMENT,
        "age": _AGE,
        "tookMs": COUNT,
        "tenants": COUNT,
        "domains": COUNT,
        "states": _array(closed({"status": _DOMAIN["status"], "sslStatus": _DOMAIN["sslStatus"], "domains": COUNT})),
        "failing": _array(closed({"code": CODE, "who": WHO, "domains": COUNT, "example": TEXT})),
        "paused": closed({"byTenant": COUNT, "byPlatform": COUNT}),
        "certificates": closed(
            {
                "expired": COUNT,
                "endingInDays": closed({"1": COUNT, "7": COUNT, "30": COUNT}),
                "renewalsLate": COUNT,
                "renewalsDueInADay": COUNT,
            }
        ),
        "orders": closed({"first": COUNT, "renewals": COUNT}, description="Those that wait for their turn."),
        "notifications": closed({"waiting": COUNT, "oldest": _MAYBE_MOMENT, "dead": COUNT, "endpointsFailing": COUNT}),
        "audit": closed({"unanchored": COUNT, "checkpoint": _MAYBE_MOMENT}),
    }
)

EXAMPLE_DOMAIN: Mapping[str, Any] = {
    "id": examples.ID,
    "tenant": examples.ID,
    "slug": "acme",
    "hostname": "shop.mybrand.co",
    "status": "active",
    "sslStatus": "error",
    "reason": {"code": "caa_forbids", "message": "The CAA records forbid it.", "who": "tenant", "at": _AT},
    "pausedBy": None,
    "certificate": "managed",
    "certExpiry": _MODEL,
    "renewAt": _AT,
    "renewalLate": True,
    "nextAttempt": None,
    "failureCount": 3,
    "createdAt": _AT,
    "updatedAt": _AT,
    "deletedAt": None,
}
_EXAMPLE_FIGURES = {
    "countedAt": _AT,
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
    "notifications": {"waiting": 1, "oldest": _AT, "dead": 2, "endpointsFailing": 1},
    "audit": {"unanchored": 3, "checkpoint": _AT},
}
_EXAMPLE_DELIVERY = {
    "id": examples.ID,
    "tenant": examples.ID,
    "endpoint": {
        "id": examples.ID,
        "kind": "webhook",
        "address": "https://hooks.mybrand.co/…",
        "enabled": True,
    },
    "event": "domain.activate",
    "domain": examples.ID,
    "hostname": "shop.mybrand.co",
    "state": "dead",
    "attempts": 9,
    "createdAt": _AT,
    "settledAt": _MODEL,
    "nextAttemptAt": None,
    "lastFailure": {"at": _AT, "code": "refused", "message": "It answered 500.", "status": 500},
}

SCHEMAS: Mapping[str, Schema] = {
    "Overview": closed(
        {
            "at": MOMENT,
            "replica": {**TEXT, "description": "Whose ears these are."},
            "problems": _array(
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
                "at": _AT,
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
    "SidecarList": closed(
        {
            "replica": TEXT,
            "generation": {**COUNT, "description": "The newest change. It grows."},
            "changedAt": _MAYBE_MOMENT,
            "listening": _AGE,
            "heardAll": {"type": "boolean", "description": "Whoever is alive was heard by now."},
            "data": _array(
                closed(
                    {
                        "id": TEXT,
                        "live": {"type": "boolean"},
                        "heardAge": {**_AGE, "description": "Its feed is not older."},
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
                "changedAt": _AT,
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
    "AdminDomainRow": closed(_DOMAIN, examples=[EXAMPLE_DOMAIN]),
    "AdminDomainList": {
        **_list("AdminDomainRow"),
        "examples": [{"data": [EXAMPLE_DOMAIN], "nextCursor": None}],
    },
    "AdminDomain": closed(
        {
            **_DOMAIN,
            "generation": COUNT,
            "dns": _maybe(_WHOLE),
            "ssl": _maybe(_WHOLE),
            "certificateFacts": _maybe(
                closed(
                    {
                        "source": {"type": "string", "enum": ["managed", "uploaded"]},
                        "ca": {**nullable(TEXT), "description": "The directory that it is from."},
                        "serial": HEX,
                        "issuer": TEXT,
                        "fingerprint": HEX,
                        "notBefore": MOMENT,
                        "notAfter": MOMENT,
                    }
                )
            ),
            "job": _maybe(
                closed(
                    {
                        "kind": {"type": "string", "enum": ["verify", "obtain", "revoke"]},
                        "runAt": MOMENT,
                        "attempts": COUNT,
                        "replica": {**nullable(TEXT), "description": "That works on it now."},
                    }
                )
            ),
        },
        examples=[
            {
                **EXAMPLE_DOMAIN,
                "generation": 81_544,
                "dns": None,
                "ssl": {**EXAMPLE_DOMAIN["reason"], "detail": {"expected": ["letsencrypt.org"]}},
                "certificateFacts": {"source": "managed", "ca": "https://ca.test/directory", **examples.FACTS},
                "job": {"kind": "obtain", "runAt": _AT, "attempts": 2, "replica": None},
            }
        ],
    ),
    "LimitList": closed(
        {
            "data": _array(
                closed(
                    {
                        "ca": TEXT,
                        "directoryUrl": TEXT,
                        "account": _array(_BUCKET),
                        "busiest": _array(_BUCKET),
                        "refused": _array(closed({"scope": TEXT, "key": TEXT, "until": MOMENT})),
                        "forecast": closed(
                            {
                                "ordersPerDay": {**nullable(COUNT), "description": "null: no limit is known."},
                                "ordersWaiting": COUNT,
                                "lastTurnAt": _MAYBE_MOMENT,
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
                                "fullAt": _MODEL,
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
    "ReplicaList": closed(
        {
            "data": _array(
                closed(
                    {
                        "replica": TEXT,
                        "startedAt": MOMENT,
                        "heardAge": _AGE,
                        "live": {"type": "boolean"},
                        "ended": {"type": "boolean", "description": "It has said that it ends."},
                        "answering": {"type": "boolean", "description": "This answer is its own."},
                        "cas": _array(
                            closed(
                                {
                                    "ca": TEXT,
                                    "directoryUrl": TEXT,
                                    "state": {"type": "string", "enum": list(get_args(CaState))},
                                    "failures": {**COUNT, "description": "In a row."},
                                    "outages": COUNT,
                                    "passedOverUntil": _MAYBE_MOMENT,
                                    "lastFailure": _maybe(_FAILURE),
                                    "lastSuccessAt": _MAYBE_MOMENT,
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
                        "startedAt": _AT,
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
                                "passedOverUntil": _MODEL,
                                "lastFailure": {"code": "ca_unavailable", "message": "It does not answer.", "at": _AT},
                                "lastSuccessAt": None,
                            }
                        ],
                    }
                ]
            }
        ],
    ),
    "AdminDelivery": closed(
        {
            "id": _ID,
            "tenant": {"type": ["string", "null"], "format": "uuid", "description": "null: the platform's own."},
            "endpoint": closed(
                {
                    "id": _ID,
                    "kind": TEXT,
                    "address": {**TEXT, "description": "Of a webhook without its path, which may be a secret."},
                    "enabled": {"type": "boolean"},
                }
            ),
            "event": TEXT,
            "domain": {"type": ["string", "null"], "format": "uuid"},
            "hostname": nullable(TEXT),
            "state": {"type": "string", "enum": list(DELIVERY_STATES)},
            "attempts": COUNT,
            "createdAt": MOMENT,
            "settledAt": _MAYBE_MOMENT,
            "nextAttemptAt": _MAYBE_MOMENT,
            "lastFailure": {"type": ["object", "null"]},
        },
        examples=[_EXAMPLE_DELIVERY],
    ),
    "AdminDeliveryList": {
        **_list("AdminDelivery"),
        "examples": [{"data": [_EXAMPLE_DELIVERY], "nextCursor": None}],
    },
    "AdminAuditList": closed(
        {
            "data": _array(
                closed(
                    {
                        "id": COUNT,
                        "at": MOMENT,
                        "tenant": {**_ID, "description": "All zeros: the platform itself."},
                        "domain": _ID,
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
            "nextCursor": nullable(TEXT),
        },
        examples=[
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
    ),
    "Explanation": closed(
        {
            "host": TEXT,
            "sni": TEXT,
            "path": TEXT,
            "at": MOMENT,
            "waited": _AGE,
            "facts": _array(
                closed(
                    {
                        "fact": TEXT,
                        "differs": {"type": "boolean"},
                        "values": {"type": "object", "additionalProperties": TEXT, "description": "By sidecar."},
                    }
                )
            ),
            "sidecars": _array(
                closed(
                    {
                        "sidecar": TEXT,
                        "state": {"type": "string", "enum": list(get_args(AnswerState))},
                        "after": nullable(_AGE),
                        "error": _maybe(closed({"code": CODE, "message": TEXT})),
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
                "at": _AT,
                "waited": 0.021,
                "facts": [{"fact": "Would be served", "differs": False, "values": {"edge-1:9902": "yes"}}],
                "sidecars": [
                    {"sidecar": "edge-1:9902", "state": "answered", "after": 0.019, "error": None, "answer": {}}
                ],
            }
        ],
    ),
}
