"""What the discovery services count, for /metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """`streams`, `subscriptions`: now. The others: since the start. `served` and `removed_*`: answers to an ask;
    `pushes`: certificates and removals that were not asked for. `retries`: names tried again after a failure.
    `ended_lists`: lists of ended registrations (sidecar.xds.lease). `nacks`: of all types."""

    streams: int = 0
    subscriptions: int = 0
    served: int = 0
    removed_unknown: int = 0
    removed_invalid: int = 0
    removed_unavailable: int = 0
    removed_unfit: int = 0
    pushes: int = 0
    nacks: int = 0
    retries: int = 0
    ended_lists: int = 0


@dataclass(slots=True)
class TypeCounters:
    """Of one type. `sent`, `removed`: resources in responses, since the start, over all streams. `nacks`: responses."""

    sent: int = 0
    removed: int = 0
    nacks: int = 0
