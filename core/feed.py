"""The change feed's contract between PostgreSQL, the sidecars and control.

A trigger appends a row to `changes` and notifies CHANGES_CHANNEL; the payload is the writing transaction's id and only
a hint. A reader keeps a `position`: the lowest transaction id that might still show a change it has not seen. In one
statement it reads every visible change with `xid >= position` together with the snapshot's xmin, applies those it has
not applied yet at once (applying means reading the row as it is now, so doing it twice is harmless), and moves its
position to that xmin. A transaction that took its id early and commits late has `xid >= xmin`, so it is read later
whatever the order of commits; a long open transaction delays the position, never a change.

A sidecar says what it has applied by NOTIFY on SIDECARS_CHANNEL (it may not write), with a `Sighting` as payload,
after each change and every SIGHTING_INTERVAL seconds. Source: https://www.postgresql.org/docs/18/functions-info.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass

CHANGES_CHANNEL = "nameplate_changes"
JOBS_CHANNEL = "nameplate_jobs"
SIDECARS_CHANNEL = "nameplate_sidecars"
OUTBOX_CHANNEL = "nameplate_outbox"  # there is something to tell

SIGHTING_INTERVAL = 5.0  # seconds
SIGHTING_LIFETIME = 3 * SIGHTING_INTERVAL  # a sidecar not heard of for so long is taken for gone


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sidecar has applied every change of transactions below `position`, and those in `ahead`.

    `ahead`: the transactions at or above the position whose changes it has applied, at most AHEAD_LIMIT, newest last.
    """

    sidecar: str
    position: int
    ahead: tuple[int, ...] = ()

    def has_seen(self, xid: int) -> bool:
        return xid < self.position or xid in self.ahead

    def to_payload(self) -> str:
        """JSON below PostgreSQL's limit of 8,000 bytes for a NOTIFY payload."""
        return json.dumps({"id": self.sidecar, "position": self.position, "ahead": self.ahead[-AHEAD_LIMIT:]})

    @classmethod
    def from_payload(cls, payload: str) -> Sighting:
        """Raises ValueError on anything that is not a sighting."""
        try:
            fields = json.loads(payload)
            return cls(str(fields["id"]), int(fields["position"]), tuple(int(xid) for xid in fields["ahead"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not a sighting") from error


AHEAD_LIMIT = 100
