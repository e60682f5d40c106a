"""What happens to an edge while requests are under way. Each event is seen to have come to Envoy, or is an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench import renewals
from bench.authority import Authority
from bench.edge import Edge, Server
from bench.edge_rows import EdgeRows
from bench.load.engine import OK
from bench.load.plan import VISITS, Plan
from bench.load.tools import generate
from bench.names import hostname
from bench.relay import Relay
from core.service import DEFAULT, CircuitBreaker
from embedded.envoy import Envoy

OTHER = "other"
POLL, PATIENCE = 0.05, 60.0
GAP = 0.1  # seconds between changes of services, and of chains
PUSHES = "nameplate_secret_pushes_total"
CLUSTERS, LISTENERS = "cluster_manager.cds.update_success", "listener_manager.lds.update_success"


@dataclass(slots=True)
class Events:
    """`served`: names that requests are under way for, from 0 on. `ports`: of two upstreams."""

    edge: Edge
    sidecar: Server
    envoy: Envoy
    relay: Relay
    authority: Authority
    served: int
    ports: tuple[int, int]
    connection: asyncpg.Connection[Any]

    async def rotate(self, count: int) -> None:
        """Certificates, each waited for until Envoy has said something to it."""
        pushed = await self._pushes()
        made: list[renewals.Renewal] = []
        while len(made) < count:  # each name once at a time
            numbers = range(min(self.served, count - len(made)))
            made += await renewals.prepare(self.edge.database, self.edge.mount, self.authority, numbers)
        for renewal in made:
            heard = self.relay.up.messages
            await renewals.store(self.connection, renewal)
            await self.relay.until(lambda: self.relay.up.messages > heard)  # noqa: B023 -- waited for
        if (pushes := await self._pushes() - pushed) < count:
            raise RuntimeError(f"{pushes:.0f} certificates were pushed for {count} rotations")

    async def change_services(self, count: int) -> None:
        """In turn: other limits, other upstreams, a new service that half of the names go to, and no such service."""
        rows = EdgeRows(self.connection)
        domains = await rows.domains(hostname(number) for number in range(self.served))
        half = list(domains.values())[::2]

        async def limits(number: int) -> None:
            await rows.put_service(DEFAULT, self.ports[0], circuit_breaker=CircuitBreaker(max_requests=2_000 + number))

        async def addresses(number: int) -> None:
            await rows.put_service(DEFAULT, *(self.ports if number % 8 < 4 else self.ports[1:]))

        async def add(_number: int) -> None:
            await rows.put_service(OTHER, self.ports[1])
            for tenant, domain in half:
                await rows.choose(tenant, domain, OTHER)

        async def remove(_number: int) -> None:
            for _, domain in half:
                await rows.unchoose(domain)
            await rows.remove_service(OTHER)

        turns = (limits, addresses, add, remove)
        for number in range(count):
            await self._seen(CLUSTERS, turns[number % len(turns)](number))

    async def require_certificates(self, first: int, count: int) -> None:
        """Of the clients of so many other domains, one domain after the other, and then of none again."""
        rows = EdgeRows(self.connection)
        found = await rows.domains(hostname(number) for number in range(first, first + count))
        domains = [domain for _, domain in found.values()]
        certificate = self._client()
        for domain in domains:
            await self._seen(LISTENERS, rows.require_certificates(domain, self.authority.root_pem))
        await self._are_served(first, count, certificate)
        if served := (await self._visit(first, count)).get(OK):
            raise RuntimeError(f"{served} of {count} domains were served without a certificate of the client")
        for domain in domains:
            await self._seen(LISTENERS, rows.ask_for_none(domain))
        await self._are_served(first, count)

    async def replace_sidecar(self) -> None:
        await self.sidecar.replace()
        await self._are_served(0, self.served)

    async def restart_envoy(self) -> None:
        """Hot: the old process has ended when it returns."""
        before = self.envoy.pid
        await self.envoy.restart_hot()
        if self.envoy.pid == before:
            raise RuntimeError("Envoy is the same process")

    async def _seen(self, counter: str, change: Awaitable[None]) -> None:
        """Make it, wait until Envoy's counter says that it has come, and a little longer."""
        before = (await self.envoy.stats(counter))[counter]

        async def counted() -> bool:
            return (await self.envoy.stats(counter))[counter] > before

        await change
        await _until(counted)
        await asyncio.sleep(GAP)

    async def _are_served(self, first: int, count: int, certificate: Path | None = None) -> None:
        async def all_are() -> bool:
            return (await self._visit(first, count, certificate)).get(OK) == count

        await _until(all_are)

    async def _visit(self, first: int, count: int, certificate: Path | None = None) -> dict[str, int]:
        """Each name once; outcomes."""
        plan = Plan(
            kind=VISITS, port=self.sidecar.ports.https, first=first, names=count, depth=1, limit=count,
            seconds=PATIENCE, certificate=str(certificate or ""),
        )  # fmt: skip
        return (await generate(plan, self.edge.cores.load)).outcomes

    def _client(self) -> Path:
        made = self.authority.issue("client.test")
        path = self.edge.home / "client.pem"
        path.write_text(made.chain_pem + made.key_pem)
        return path

    async def _pushes(self) -> float:
        return (await self.sidecar.metrics())[PUSHES]


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 -- other processes set no event
            await asyncio.sleep(POLL)
