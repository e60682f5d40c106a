"""How many domains are in which state, what fails and what waits, as it was counted last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.representation import optional_timestamp, timestamp

SOON_DAYS = (1, 7, 30)  # certificates that end within so many are counted


@dataclass(frozen=True, slots=True)
class StateCount:
    status: str
    ssl_status: str
    number: int


@dataclass(frozen=True, slots=True)
class CodeCount:
    """Domains that fail for one reason. `who`: has to act. `example`: one of their hostnames."""

    code: str
    who: str
    number: int
    example: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Counted at `at` in `took` milliseconds, `age` ago: they are not counted anew for everybody who looks.

    `expired`: served names whose certificate has ended; `expiring`: those that end within so many days, expired ones
    not included. `late`: renewals that should be over. `paused`: by who has paused them, `tenant` or `platform`.
    `first`, `renewals`: orders that wait for their turn. `due_day`: renewals that begin within a day.
    `waiting`, `dead`: notifications; `oldest`: since when the oldest of those that wait does.
    `unanchored`: chains of the audit that no checkpoint covers to their end; `uncovered`: since when the first of them
    is not; `checkpoint`: the last one.
    """

    at: datetime
    took: int
    age: float
    states: Sequence[StateCount]
    failing: Sequence[CodeCount]
    expired: int
    expiring: Mapping[int, int]
    late: int
    paused: Mapping[str, int]
    first: int
    renewals: int
    due_day: int
    waiting: int
    dead: int
    oldest: datetime | None
    endpoints_failing: int
    admin_endpoints_failing: int
    unanchored: int
    uncovered: datetime | None
    checkpoint: datetime | None
    tenants: int

    @property
    def domains(self) -> int:
        return sum(one.number for one in self.states)


def figures_of(figures: Figures) -> dict[str, Any]:
    return {
        "countedAt": timestamp(figures.at),
        "age": round(figures.age, 3),
        "tookMs": figures.took,
        "tenants": figures.tenants,
        "domains": figures.domains,
        "states": [
            {"status": one.status, "sslStatus": one.ssl_status, "domains": one.number} for one in figures.states
        ],
        "failing": [
            {"code": one.code, "who": one.who, "domains": one.number, "example": one.example} for one in figures.failing
        ],
        "paused": {"byTenant": figures.paused["tenant"], "byPlatform": figures.paused["platform"]},
        "certificates": {
            "expired": figures.expired,
            "endingInDays": {str(days): number for days, number in figures.expiring.items()},
            "renewalsLate": figures.late,
            "renewalsDueInADay": figures.due_day,
        },
        "orders": {"first": figures.first, "renewals": figures.renewals},
        "notifications": {
            "waiting": figures.waiting,
            "oldest": optional_timestamp(figures.oldest),
            "dead": figures.dead,
            "endpointsFailing": figures.endpoints_failing,
        },
        "audit": {
            "unanchored": figures.unanchored,
            "uncoveredSince": optional_timestamp(figures.uncovered),
            "checkpoint": optional_timestamp(figures.checkpoint),
        },
    }
