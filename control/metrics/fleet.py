"""The sidecars and Envoys that this replica hears of, and how far behind the change feed they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from control.certificates.propagation import Propagation
from core.families import gauge

PATIENCE = 30  # seconds after which a change should be everywhere
# Backwards from the end: only the changes of the last seconds are looked at in vain. With the table's name, as `xid`
# alone would be the number, which no index knows.
SETTLED = f"""SELECT xid::text::int8 FROM changes WHERE at < now() - interval '{PATIENCE} s'
    ORDER BY changes.xid DESC LIMIT 1"""  # noqa: S608


class Fleet(Collector):
    """`propagation`: what this replica hears. `read` tells it which change all should have seen by now."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._settled = 0

    async def read(self, pool: asyncpg.Pool[Any]) -> Sequence[Metric]:
        """As the workers' role. Raises asyncpg's errors."""
        self._settled = await pool.fetchval(SETTLED) or 0
        return (gauge("feed_settled_position", "The newest change that is older than 30 seconds.", self._settled),)

    def collect(self) -> Iterator[Metric]:
        seen = self._propagation.seen(self._settled)
        yield gauge("fleet_sidecars", "Sidecars that were heard of in the last 15 seconds.", seen.known)
        behind = "Of them, those that have not applied a change of 30 seconds ago."
        yield gauge("fleet_sidecars_behind", behind, seen.known - seen.seen)
        yield gauge("fleet_envoys", "Envoys that are connected to them.", seen.connected)
        behind = "Of them, those that have not answered what came of a change of 30 seconds ago."
        yield gauge("fleet_envoys_behind", behind, seen.connected - seen.reached)
