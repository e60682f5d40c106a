"""The change feed's contract between PostgreSQL, the sidecars and control.

A trigger appends a row to `changes` and notifies CHANGES_CHANNEL; the payload is the writing transaction's id and only
a hint. A reader keeps a `position`: the lowest transaction id that might still show a change it has not seen. In one
statement it reads every visible change with `xid >= position` together with the snapshot's xmin, applies those it has
not applied yet at once (applying means reading the row as it is now, so doing it twice is harmless), and moves its
position to that xmin. A transaction that took its id early and commits late has `xid >= xmin`, so it is read later
whatever the order of commits; a long open transaction delays the position, never a change.

A sidecar says what it has applied, and its Envoys have acknowledged, by NOTIFY on SIDECARS_CHANNEL (it may not write),
with a `Sighting` as payload: after each change, when Envoys have moved on, and every SIGHTING_INTERVAL seconds.
Releases differ while they are replaced: members are only ever added, and what is not known is passed over.
Source: https://www.postgresql.org/docs/18/functions-info.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

CHANGES_CHANNEL = "nameplate_changes"
JOBS_CHANNEL = "nameplate_jobs"
SIDECARS_CHANNEL = "nameplate_sidecars"
OUTBOX_CHANNEL = "nameplate_outbox"  # there is something to tell

SIGHTING_INTERVAL = 5.0  # seconds
SIGHTING_LIFETIME = 3 * SIGHTING_INTERVAL  # a sidecar not heard of for so long is taken for gone

# What a payload holds at most, so that it stays below PostgreSQL's 8,000 bytes whatever the numbers are.
ID_LIMIT = 200  # characters, of up to 12 bytes in JSON
AHEAD_LIMIT = 100
GROUPS_LIMIT = 10
GROUP_AHEAD_LIMIT = 10
REJECTED_LIMIT = 32


@dataclass(frozen=True, slots=True)
class Reached:
    """So many Envoys have acknowledged what came of each change below `position`, and of those in `ahead`."""

    envoys: int
    position: int
    ahead: tuple[int, ...] = ()

    def has_seen(self, xid: int) -> bool:
        return xid < self.position or xid in self.ahead


@dataclass(frozen=True, slots=True)
class Rejected:
    """Hostnames whose certificate some Envoys have rejected, and kept what they had.

    `by_digest`: `digest_of` of the hostname → Envoys. `others`: Envoys that reject what concerns all names, or names
    that found no room in it.
    """

    by_digest: Mapping[str, int] = field(default_factory=dict)
    others: int = 0

    def of(self, hostname: str) -> int:
        """How many may have rejected that name's."""
        return max(self.by_digest.get(digest_of(hostname), 0), self.others)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sidecar has applied every change of transactions below `position`, and those in `ahead`.

    `ahead`: the transactions at or above the position whose changes it has applied, at most AHEAD_LIMIT, newest last.
    `envoys`: those that are connected to it, by how far they are; None: it does not say, as it is of an older release.
    `answers`: it takes questions (core.question).
    The payload may hold less than the value did, never more: groups of Envoys that found no room are put together as
    having seen what the last of them has.
    """

    sidecar: str
    position: int
    ahead: tuple[int, ...] = ()
    envoys: tuple[Reached, ...] | None = None
    rejected: Rejected = field(default_factory=Rejected)
    answers: bool = False

    def has_seen(self, xid: int) -> bool:
        return xid < self.position or xid in self.ahead

    @property
    def connected(self) -> int:
        return sum(group.envoys for group in self.envoys or ())

    def acknowledged(self, xid: int) -> int:
        """How many of its Envoys have acknowledged what came of transaction `xid`, or were not concerned."""
        return sum(group.envoys for group in self.envoys or () if group.has_seen(xid))

    def to_payload(self) -> str:
        """JSON below PostgreSQL's limit of 8,000 bytes for a NOTIFY payload."""
        fields: dict[str, Any] = {
            "id": self.sidecar[:ID_LIMIT],
            "position": self.position,
            "ahead": self.ahead[-AHEAD_LIMIT:],
        }
        if self.envoys is not None:
            own = Reached(0, self.position, self.ahead)
            fields["envoys"] = [
                # Most of them are as far as the sidecar is.
                [group.envoys] if replace(group, envoys=0) == own else [group.envoys, group.position, group.ahead]
                for group in _fitting(self.envoys, own)
            ]
        if self.rejected.by_digest or self.rejected.others:
            by_digest = dict(list(self.rejected.by_digest.items())[:REJECTED_LIMIT])
            left_out = [number for digest, number in self.rejected.by_digest.items() if digest not in by_digest]
            fields["rejected"] = [by_digest, max([self.rejected.others, *left_out])]
        if self.answers:
            fields["answers"] = 1
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_payload(cls, payload: str) -> Sighting:
        """Of this release, an older or a newer one. Raises ValueError on anything that is not a sighting."""
        try:
            fields = json.loads(payload)
            position, ahead = int(fields["position"]), _xids(fields["ahead"])
            envoys = fields.get("envoys")
            by_digest, others = fields.get("rejected", ({}, 0))[:2]
            return cls(
                str(fields["id"]),
                position,
                ahead,
                None if envoys is None else tuple(_reached(group, position, ahead) for group in envoys),
                Rejected({str(digest): int(number) for digest, number in by_digest.items()}, int(others)),
                fields.get("answers") == 1,
            )
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("not a sighting") from error


def digest_of(hostname: str) -> str:
    """A name of bounded length for a hostname: 48 bits of its SHA-256, in hexadecimal."""
    return sha256(hostname.encode()).hexdigest()[:12]


def _fitting(groups: Iterable[Reached], own: Reached) -> list[Reached]:
    """At most GROUPS_LIMIT, those that are furthest first."""
    ordered = sorted(groups, key=lambda group: (replace(group, envoys=0) == own, group.position), reverse=True)
    fitting, rest = ordered[: GROUPS_LIMIT - 1], ordered[GROUPS_LIMIT - 1 :]
    cut = [
        group if replace(group, envoys=0) == own else replace(group, ahead=group.ahead[-GROUP_AHEAD_LIMIT:])
        for group in fitting
    ]
    if rest:
        last = min(group.position for group in rest)
        cut.append(Reached(sum(group.envoys for group in rest), last))
    return cut


def _reached(group: Sequence[Any], position: int, ahead: tuple[int, ...]) -> Reached:
    if len(group) == 1:
        return Reached(int(group[0]), position, ahead)
    return Reached(int(group[0]), int(group[1]), _xids(group[2]))


def _xids(numbers: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)
