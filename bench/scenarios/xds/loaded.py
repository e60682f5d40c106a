"""A sidecar and an Envoy with many certificates loaded, and a relay between them that counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.edge import Edge, Server
from bench.envoys import Sockets
from bench.ground import Ground
from bench.load.engine import OK
from bench.load.plan import HANDSHAKES, Plan
from bench.load.tools import generate
from bench.relay import Relay
from bench.rows import add_served
from embedded.envoy import Envoy

DEPTH = 64
LONGEST = 300.0
QUIET = 0.3  # seconds in which nothing passes the relay: all has been said
SENT = ('nameplate_secret_answers_total{answer="served"}', "nameplate_secret_pushes_total")
SUBSCRIPTIONS = "nameplate_secret_subscriptions"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`names`: served ones from 0 on, all of them in Envoy, which was started from the bootstrap alone."""

    edge: Edge
    sidecar: Server
    relay: Relay
    envoy: Envoy
    names: int

    @classmethod
    @asynccontextmanager
    async def start(cls, ground: Ground, names: int) -> AsyncIterator[Loaded]:
        async with ground.edge() as edge:
            await add_served(edge.database, edge.mount, ground.authority, 0, names)
            sidecar = await edge.start_supervised()
            relay = await edge.start_relay(sidecar)
            envoy = await edge.start_bare_envoy("envoy", Sockets(sidecar.sockets.checks, relay.path))
            found = cls(edge, sidecar, relay, envoy, names)
            await found._load()
            yield found

    async def sent(self) -> int:
        """Secrets, as the worker that answers now counts them since it began."""
        metrics = await self.sidecar.metrics()
        return int(sum(metrics[name] for name in SENT))

    async def subscriptions(self) -> int:
        return int((await self.sidecar.metrics())[SUBSCRIPTIONS])

    async def _load(self) -> None:
        plan = Plan(
            kind=HANDSHAKES, port=self.sidecar.ports.https, names=self.names, depth=DEPTH, limit=self.names,
            seconds=LONGEST,
        )  # fmt: skip
        samples = await generate(plan, self.edge.cores.load)
        if samples.outcomes.get(OK) != self.names:
            raise RuntimeError(f"not all of {self.names} names were served: {samples.outcomes}")
        await self.relay.quiet(QUIET)
