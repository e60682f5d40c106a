"""What is counted of the edge, for /metrics: totals since the start, unless a comment says otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sidecar.edge.model import BELOW, CHOICE, CLIENT_AUTH, CONSUMER, IDENTITY, SERVICE, TRUST, Edge
from sidecar.edge.saver import EdgeSaver
from sidecar.edge.table import EdgeTable


class EdgeStats(NamedTuple):
    loaded: bool  # now
    rows: Mapping[str, int]  # now, by kind
    left_out: Mapping[str, int]  # now, by kind
    identities: Mapping[str, float]  # now: their end of validity, Unix seconds
    changes: int
    changed_at: float | None  # Unix seconds
    loads: int
    load_seconds: float
    snapshot_saves: int
    snapshot_failures: int


def count(table: EdgeTable, saver: EdgeSaver) -> EdgeStats:
    edge = table.current or Edge()
    rows = {
        SERVICE: len(edge.services),
        TRUST: len(edge.trust),
        IDENTITY: len(edge.identities),
        CHOICE: len(edge.by_tenant) + len(edge.by_domain),
        CLIENT_AUTH: len(edge.client_auth),
        BELOW: sum(map(len, edge.below.values())),
        CONSUMER: sum(map(len, edge.consumers.values())),
    }
    return EdgeStats(
        loaded=table.current is not None,
        rows=rows,
        left_out=dict.fromkeys(rows, 0) | Counter(kind for kind, _ in edge.left_out),
        identities={name: one.not_after for name, one in edge.identities.items()},
        changes=table.revision,
        changed_at=table.changed_at,
        loads=table.loads,
        load_seconds=table.seconds,
        snapshot_saves=saver.saves,
        snapshot_failures=saver.failures,
    )
