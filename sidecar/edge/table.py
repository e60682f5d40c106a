"""The edge as it is now, and who is told when it is another one. It does not know where its rows come from.

None until something was read, from PostgreSQL or the snapshot: nobody may take that for an edge without services, or
without domains that ask for client certificates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from sidecar.edge.model import Edge

OnChange = Callable[[Edge | None, Edge], None]
"""Called on the loop, after `current` changed, with the edge before and the edge now. They differ."""

# Rows left out by one change that are logged one by one.
LOGGED: Final = 20

log = structlog.stdlib.get_logger(__name__)


class EdgeTable:
    """`loads`: times it was read from PostgreSQL; `seconds`: what that took in all. `revision`: grows as it changes."""

    def __init__(self) -> None:
        self.current: Edge | None = None
        self.revision = 0
        self.loads = 0
        self.seconds = 0.0
        self.changed_at: float | None = None  # Unix seconds
        self._on_change: list[OnChange] = []

    def subscribe(self, on_change: OnChange) -> None:
        """Told in the order in which they came. A consumer's mistake keeps nobody else from the news."""
        self._on_change.append(on_change)

    def replace(self, edge: Edge) -> None:
        """What was read. Nobody is told when it is what was known."""
        before = self.current
        if edge == before:
            return
        self.current = edge
        self._log(before, edge)
        self.revision += 1
        self.changed_at = time.time()
        for on_change in self._on_change:
            try:
                on_change(before, edge)
            except Exception:  # the top of what a consumer does
                log.exception("on_edge_change_failed")

    @staticmethod
    def _log(before: Edge | None, edge: Edge) -> None:
        """What is left out, once for each reason; of many, the first. /metrics has their number."""
        known = before.left_out if before is not None else {}
        news = [(row, reason) for row, reason in edge.left_out.items() if known.get(row) != reason]
        for (kind, name), reason in news[:LOGGED]:
            log.error("left_out_of_edge", kind=kind, name=name, reason=reason, others=max(0, len(news) - LOGGED))
