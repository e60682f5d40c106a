"""What the directory counts, for /metrics and /readyz: totals since the start, unless a comment says otherwise."""

from __future__ import annotations

from typing import NamedTuple


class DirectoryStats(NamedTuple):
    names: int  # now
    capacity: int
    loaded: bool  # now: it holds what PostgreSQL or the snapshot said
    complete: bool  # now
    stale: bool  # now
    hits: int
    misses: int
    negatives: int
    loads: int  # of names that were not in memory
    load_failures: int
    load_seconds: float
    loads_refused: int  # by the budget
    tokens: int  # now
    token_loads: int
    token_loads_refused: int
    statements: int  # sent to PostgreSQL, for whatever reason
    feed_position: int  # now: a transaction id
    feed_age: float  # now: seconds since the last successful read, infinite before the first
    feed_connects: int
    feed_failures: int
    feed_reads: int
    feed_changes: int
    feed_reloads: int
    snapshot_saves: int
    snapshot_failures: int
    snapshot_saved_at: float | None  # Unix seconds
