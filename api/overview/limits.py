"""What is spent of each CA's limits, and when those that wait will have had their turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.representation import optional_timestamp, timestamp


@dataclass(frozen=True, slots=True)
class BucketUse:
    """A limit of a CA. `key`: what it is kept for; empty: the account. `used`: of `capacity`.

    `room`: what may be spent now, which is less than the rest by what is held back. `full_at`: when all of it has come
    back.
    """

    name: str
    subject: str
    key: str
    capacity: int
    used: int
    room: int
    next_at: datetime | None
    full_at: datetime | None


@dataclass(frozen=True, slots=True)
class CaLimits:
    """`account`: its own limits; `busiest`: of the others the fullest. `refused`: the CA's own word, by what and until.

    `per_day`: orders that the account has in a day; None: it has no limit that is known. `waiting`: orders that wait.
    `waiting_until`: when the last of them will have had its turn. `due_day`: renewals that begin within a day.
    """

    name: str
    directory_url: str
    account: Sequence[BucketUse]
    busiest: Sequence[BucketUse]
    refused: Sequence[tuple[str, str, datetime]]
    per_day: int | None
    waiting: int
    waiting_until: datetime | None
    due_day: int


def limits_of(limits: Sequence[CaLimits]) -> dict[str, Any]:
    return {"data": [_limits(one) for one in limits]}


def _limits(ca: CaLimits) -> dict[str, Any]:
    return {
        "ca": ca.name,
        "directoryUrl": ca.directory_url,
        "account": [_bucket(one) for one in ca.account],
        "busiest": [_bucket(one) for one in ca.busiest],
        "refused": [{"scope": scope, "key": key, "until": timestamp(until)} for scope, key, until in ca.refused],
        "forecast": {
            "ordersPerDay": ca.per_day,
            "ordersWaiting": ca.waiting,
            "lastTurnAt": optional_timestamp(ca.waiting_until),
            "renewalsDueInADay": ca.due_day,
        },
    }


def _bucket(use: BucketUse) -> dict[str, Any]:
    return {
        "limit": use.name,
        "subject": use.subject,
        "key": use.key,
        "capacity": use.capacity,
        "used": use.used,
        "room": use.room,
        "nextAt": optional_timestamp(use.next_at),
        "fullAt": optional_timestamp(use.full_at),
    }
