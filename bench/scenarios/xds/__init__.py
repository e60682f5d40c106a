"""Envoy configured by the sidecar alone: how soon it serves, what a change and a reconnect cost with many certificates,
how fast new names are fetched, and that nothing fails while all of it changes.

Every Envoy is started from envoy/bootstrap.yaml; listeners, routes, clusters and certificates come over one stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.edge import Edge
from bench.edge_rows import EdgeRows
from bench.envoys import Sockets
from bench.ground import Ground
from bench.result import Report
from bench.rows import add_names, add_served
from bench.scenarios.xds import change, demand, reconnect, start
from bench.scenarios.xds.events import Events
from bench.scenarios.xds.loaded import Loaded
from bench.scenarios.xds.steady import Rates, Traffic
from core.service import DEFAULT
from embedded.envoy import HotRestart


@dataclass(frozen=True, slots=True)
class Size:
    starts: int
    many: int  # certificates that are loaded, and names on demand
    few: int
    changes: int  # of certificates, a round
    rounds: int
    under_way: int  # names that requests are for while things change
    rates: Rates
    rotations: int
    services: int
    domains: int  # that ask for clients' certificates
    drain: int  # seconds, of a hot restart


FULL = Size(
    starts=10, many=10_000, few=100, changes=100, rounds=5, under_way=32,
    rates=Rates(kept=100, new=20), rotations=100, services=20, domains=20, drain=3,
)  # fmt: skip
QUICK = Size(
    starts=2, many=90, few=30, changes=10, rounds=1, under_way=8,
    rates=Rates(kept=40, new=10), rotations=10, services=4, domains=2, drain=1,
)  # fmt: skip


async def run(ground: Ground, report: Report, quick: bool) -> None:
    size = QUICK if quick else FULL
    report.parameters.update(
        loaded=size.many, compared_with=size.few, changes_a_round=size.changes, rounds=size.rounds,
        kept_requests_a_second=size.rates.kept, new_connections_a_second=size.rates.new,
        connections=size.under_way,
    )  # fmt: skip
    await _start(ground, report, size)
    async with Loaded.start(ground, size.many) as many:
        async with Loaded.start(ground, size.few) as few:
            await change.measure(few, many, ground.authority, size.changes, size.rounds, report)
        await reconnect.measure(many, size.rounds, report)
        await demand.measure(many.edge, size.many, report)
    await _steady(ground, report, size)


async def _start(ground: Ground, report: Report, size: Size) -> None:
    async with ground.edge() as edge:
        await add_served(edge.database, edge.mount, ground.authority, 0, 1)
        await add_names(edge.database, 1, size.many)
        port = await edge.start_upstream()
        async with connected(edge) as connection:
            await EdgeRows(connection).put_service(DEFAULT, port)
        sidecar = await edge.start_supervised()
        await start.measure(edge, sidecar, size.starts, report)


async def _steady(ground: Ground, report: Report, size: Size) -> None:
    async with ground.edge() as edge, connected(edge) as connection:
        served = size.under_way + size.domains
        await add_served(edge.database, edge.mount, ground.authority, 0, served)
        await add_names(edge.database, served, size.many)
        ports = (await edge.start_upstream(), await edge.start_upstream("upstream-2"))
        await EdgeRows(connection).put_service(DEFAULT, ports[0])
        access_log = edge.home / "access.log"
        sidecar = await edge.start_supervised(access_log=access_log)
        relay = await edge.start_relay(sidecar)
        envoy = await edge.start_bare_envoy(
            "envoy", Sockets(sidecar.sockets.checks, relay.path),
            hot_restart=HotRestart(parent_shutdown=size.drain + 2), drain_time=size.drain,
        )  # fmt: skip
        traffic = Traffic(edge, sidecar, size.under_way, size.rates, access_log)
        events = Events(edge, sidecar, envoy, relay, ground.authority, size.under_way, ports, connection)
        async with traffic.during("rotation", f"{size.rotations} rotations of certificates"):
            await events.rotate(size.rotations)
        async with traffic.during("service", f"{size.services} changes of services"):
            await events.change_services(size.services)
        async with traffic.during("client", f"{size.domains} domains that require clients' certificates, and then not"):
            await events.require_certificates(size.under_way, size.domains)
        async with traffic.during("replacement", "a replacement of the sidecar"):
            await events.replace_sidecar()
        async with traffic.during("hot_restart", "a hot restart of Envoy"):
            await events.restart_envoy()
        traffic.report(report)


@asynccontextmanager
async def connected(edge: Edge) -> AsyncIterator[asyncpg.Connection[Any]]:
    """As control."""
    connection = await asyncpg.connect(edge.database.control_dsn)
    try:
        yield connection
    finally:
        await connection.close()
