"""The processes of control, and how the CAs have answered each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from api.representation import optional_timestamp, timestamp

CaState = Literal["well", "stumbling", "out", "unused"]


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CaHealth:
    """A CA as one replica has met it. `until`: it is passed over before then. `last_failure`: since it has started."""

    name: str
    directory_url: str
    state: CaState
    failures: int
    outages: int
    until: datetime | None
    last_failure: Failure | None
    last_success: datetime | None


@dataclass(frozen=True, slots=True)
class Replica:
    """A process of control. `heard`: age. `live`: heard of lately. `mine`: the one that answers now."""

    name: str
    started_at: datetime
    heard: float
    live: bool
    mine: bool
    ended: bool
    cas: Sequence[CaHealth]


def cas_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    return {"data": [_replica(one) for one in replicas]}


def _replica(replica: Replica) -> dict[str, Any]:
    return {
        "replica": replica.name,
        "startedAt": timestamp(replica.started_at),
        "heardAge": round(replica.heard, 3),
        "live": replica.live,
        "ended": replica.ended,
        "answering": replica.mine,
        "cas": [
            {
                "ca": one.name,
                "directoryUrl": one.directory_url,
                "state": one.state,
                "failures": one.failures,
                "outages": one.outages,
                "passedOverUntil": optional_timestamp(one.until),
                "lastFailure": None
                if one.last_failure is None
                else {
                    "code": one.last_failure.code,
                    "message": one.last_failure.message,
                    "at": timestamp(one.last_failure.at),
                },
                "lastSuccessAt": optional_timestamp(one.last_success),
            }
            for one in replica.cas
        ],
    }
