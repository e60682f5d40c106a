"""The sidecars and their Envoys, as one replica of control hears them. Ages are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.representation import optional_timestamp

# Seconds that a change may take to be everywhere before a sidecar without it is behind.
BEHIND_AFTER = 15.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """`heard`: its age. A sidecar speaks after it has read the feed, so its feed is not older than that.

    `live`: heard of lately; else it was within the hour. `newest`: it has applied the newest change. `envoys`: None of
    an older release, which does not count them. `acknowledged`: Envoys that have the newest change. `rejected`: Envoys
    that do not take something; `rejected_names`: of how many hostnames. `answers`: it takes questions.
    """

    id: str
    heard: float
    live: bool
    position: int
    newest: bool
    envoys: int | None
    acknowledged: int
    rejected: int
    rejected_names: int
    answers: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """`replica`: whose ears these are. `generation`, `changed`: of the newest change; None: there was none lately.

    `listens`: it is connected to where sidecars speak, and was for `listening` seconds. `heard_all`: that is long
    enough to know whoever is alive. `now`: when this was.
    """

    replica: str
    now: datetime
    generation: int
    changed: datetime | None
    listening: float
    listens: bool
    heard_all: bool
    sidecars: Sequence[Sidecar]

    @property
    def live(self) -> Sequence[Sidecar]:
        return [one for one in self.sidecars if one.live]

    @property
    def settling(self) -> bool:
        """The newest change is so new that nobody is behind for not having it."""
        return self.changed is not None and (self.now - self.changed).total_seconds() < BEHIND_AFTER


def fleet_of(fleet: Fleet) -> dict[str, Any]:
    return {
        "replica": fleet.replica,
        "generation": fleet.generation,
        "changedAt": optional_timestamp(fleet.changed),
        "listening": round(fleet.listening, 3),
        "heardAll": fleet.heard_all,
        "data": [_sidecar(one) for one in fleet.sidecars],
    }


def _sidecar(sidecar: Sidecar) -> dict[str, Any]:
    counted = sidecar.envoys is not None
    return {
        "id": sidecar.id,
        "live": sidecar.live,
        "heardAge": round(sidecar.heard, 3),
        "generation": sidecar.position,
        "upToDate": sidecar.newest,
        "envoys": {
            "connected": sidecar.envoys,
            "acknowledged": sidecar.acknowledged if counted else None,
            "rejecting": sidecar.rejected if counted else None,
            "rejectedNames": sidecar.rejected_names if counted else None,
        },
        "answersQuestions": sidecar.answers,
    }
