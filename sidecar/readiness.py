"""What /readyz says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """`stale`: the feed cannot be read at the moment, so a change may not be known yet. `feed_age`: seconds since it
    was last read, None if never. `complete`: a name that is not in the directory does not exist.
    `position`: of the feed (core.feed)."""

    ready: bool
    why_not: str | None
    stale: bool
    complete: bool
    position: int
    feed_age: float | None
    names: int
