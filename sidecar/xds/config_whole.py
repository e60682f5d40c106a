"""One stream's work for listeners or clusters in state of the world: the set is written whole when it is another."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import structlog

from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.config import ASK_AGAIN
from sidecar.xds.config_stream import Configurations
from sidecar.xds.configurations import Encoded
from sidecar.xds.counters import TypeCounters
from sidecar.xds.patience import Patience
from sidecar.xds.refusal import Refusal
from sidecar.xds.send import Send
from sidecar.xds.subscription import Received, Rejection
from sidecar.xds.subscription_whole import WholeSubscription

NOTHING: Final[Mapping[str, Encoded]] = MappingProxyType({})

log = structlog.stdlib.get_logger(__name__)


class WholeConfigStream:
    """A ConfigStream. `departs`: removals wait, and what has gone is written as it was last (sidecar.xds.order)."""

    def __init__(
        self,
        subscription: WholeSubscription,
        configurations: Configurations,
        counters: TypeCounters,
        acknowledgements: Acknowledgements,
        send: Send,
        *,
        departs: bool,
    ) -> None:
        self.type_url = subscription.type_url
        self.rejected: dict[str, Refusal] = {}
        self.leaving = False
        self._subscription = subscription
        self._configurations = configurations
        self._counters = counters
        self._acknowledgements = acknowledgements
        self._send = send
        self._departs = departs
        self._clock = asyncio.get_running_loop().time
        self._patience = Patience(self._clock)
        self._look = False
        self._later: float | None = None
        self._owing: set[str] = set()
        self._kept: dict[str, Encoded] = {}

    def receive(self, received: Received) -> Rejection | None:
        if received.rejection is not None:
            self._reject(dict(received.rejection.resources), received.rejection.message)
        for name in received.dropped:
            self.rejected.pop(name, None)
        if self._subscription.accepted:
            self.rejected.clear()
        if received.asked or received.everything:
            if self.rejected and self.rejected.keys() >= set(received.asked):
                self._later = self._clock() + ASK_AGAIN
            else:
                self._look = True
        elif received.rejection is not None or received.dropped:
            self._look = True  # what is wanted may be another set than the one that was rejected
        self._done_if_settled()
        return received.rejection

    def changed(self, names: Collection[str]) -> None:
        concerned = [name for name in names if name in self._subscription]
        if concerned or not names:
            self._look = True
        self._acknowledgements.owe((self.type_url, name) for name in concerned)
        self._owing.update(concerned)

    def told(self, name: str) -> str | None:
        return self._subscription.told.get(name)

    def agreed(self, name: str) -> str | None:
        return self._subscription.has.get(name)

    @property
    def backlog(self) -> bool:
        return self._look and self._resources() is not None

    @property
    def waiting(self) -> bool:
        return self.backlog and not self._subscription.awaiting

    @property
    def busy(self) -> bool:
        return self.backlog or self._subscription.awaiting

    @property
    def clings(self) -> bool:
        return bool(self.rejected)  # the set as a whole

    @property
    def due_at(self) -> float | None:
        return min((at for at in (self._patience.until, self._later) if at is not None), default=None)

    async def write(self) -> None:
        """The set, if it is another; with what is leaving. Raises what `send` raises."""
        if self._later is not None and self._later <= self._clock():
            self._later, self._look = None, True
        if self._patience.exhausted(blocked=self._blocked):
            log.warning("client_does_not_acknowledge", type_url=self.type_url)
            self._subscription.give_up()
        resources = self._resources()
        if self._look and resources is not None and not self._subscription.awaiting:
            self._look = False
            wanted = self._subscription.wanted(resources)
            leaving = self._what_leaves(wanted) if self._departs else {}
            self.leaving = bool(leaving)
            await self._say(wanted, leaving)
        self._patience.exhausted(blocked=self._blocked)

    async def write_leaving(self) -> None:
        """The set without what has gone. Raises what `send` raises."""
        resources = self._resources()
        if resources is None:
            return
        self._subscription.give_up()
        self.leaving = self._look = False
        await self._say(self._subscription.wanted(resources))

    def keep_leaving(self) -> None:
        if not self._look and self._subscription.settled:
            self._done()

    def _what_leaves(self, wanted: Mapping[str, Encoded]) -> dict[str, Encoded]:
        """What the client has and is no more, as far as we still know how it looks."""
        told = self._subscription.told
        return {
            name: kept
            for name, kept in self._kept.items()
            if name not in wanted and name in self._subscription and told.get(name) == kept.version
        }

    async def _say(self, wanted: dict[str, Encoded], leaving: Mapping[str, Encoded] = NOTHING) -> None:
        said = {**wanted, **leaving}
        if not self._subscription.due(said):
            self._forget_refusals(said)
            self._done_if_settled()
            return
        told = self._subscription.told
        self._counters.sent += len(said)
        self._counters.removed += sum(name not in said for name in told)
        self._kept = said
        response = self._subscription.response(said, self._version(leaving))
        await self._send(response.data)
        self._subscription.sent(response)
        self._done_if_settled()

    def _version(self, leaving: Mapping[str, Encoded]) -> str:
        """With what is leaving it is another set than without."""
        version = self._configurations.version(self.type_url)
        if not leaving:
            return version
        named = "\0".join(f"{name}\0{leaving[name].version}" for name in sorted(leaving))
        return f"{version}+{sha256(named.encode()).hexdigest()[:8]}"

    def _reject(self, resources: Mapping[str, str], reason: str) -> None:
        self.rejected = {name: Refusal(version, reason) for name, version in resources.items()}
        self._done()

    def _forget_refusals(self, wanted: Mapping[str, Encoded]) -> None:
        """Of what is not there any more."""
        for name, refusal in list(self.rejected.items()):
            if name not in wanted or wanted[name].version != refusal.version:
                del self.rejected[name]

    def _done_if_settled(self) -> None:
        if not self._look and not self.leaving and self._subscription.settled:
            self._done()

    def _done(self) -> None:
        for name in self._owing:
            self._acknowledgements.done((self.type_url, name))
        self._owing.clear()

    @property
    def _blocked(self) -> bool:
        return self.backlog and self._subscription.awaiting

    def _resources(self) -> Mapping[str, Encoded] | None:
        return self._configurations.resources(self.type_url)
