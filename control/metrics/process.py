"""The process itself: its release, its processor time and memory, its connections to PostgreSQL, its listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric

from core.families import Families, build_info, gauge


def register(
    registry: CollectorRegistry, pools: Mapping[str, asyncpg.Pool[Any]], listening: Callable[[], bool]
) -> None:
    """`pools`: by whose they are. `listening`: whether notifications of PostgreSQL are heard now."""

    def families() -> Iterator[Metric]:
        yield build_info("control")
        busy = {name: pool.get_size() - pool.get_idle_size() for name, pool in pools.items()}
        yield gauge("database_connections_busy", "Connections to PostgreSQL that are in use.", busy, "pool")
        most = {name: pool.get_max_size() for name, pool in pools.items()}
        yield gauge("database_connections_limit", "Connections to PostgreSQL that there may be.", most, "pool")
        yield gauge("listener_connected", "1 while PostgreSQL's notifications are heard.", listening())

    registry.register(Families(families))
    ProcessCollector(registry=registry)
