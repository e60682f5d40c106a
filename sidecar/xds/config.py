"""One stream's work for one type of configurations, by name: what waits for an answer, and what is written.

What waits is names, never messages, and each name once; what there is of a name is looked up when it is written. So a
client that does not read holds up names, and hears of each the newest only.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import structlog

from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.config_stream import Configurations
from sidecar.xds.configurations import Encoded
from sidecar.xds.counters import TypeCounters
from sidecar.xds.patience import Patience
from sidecar.xds.refusal import Refusal
from sidecar.xds.send import Send
from sidecar.xds.stream import SLICE
from sidecar.xds.subscription import REMOVED, Received, Rejection, Response, Subscription

# Seconds until a client that asks again for what it has rejected is given it again.
ASK_AGAIN: Final = 5.0
# Bytes from which on a response takes no more resources. Clients of gRPC refuse a message of more than 4 MiB, unless
# they are told otherwise.
FULL: Final = 3 << 20

log = structlog.stdlib.get_logger(__name__)


class NamedConfigStream:
    """A ConfigStream. `departs`: removals wait (sidecar.xds.order).

    `together`: what is ready goes in one response. Of one that the client rejects, and only its words may say for which
    resource, each is said again alone, and that is told of.
    """

    def __init__(
        self,
        subscription: Subscription,
        configurations: Configurations,
        counters: TypeCounters,
        acknowledgements: Acknowledgements,
        send: Send,
        *,
        departs: bool,
        together: bool = False,
    ) -> None:
        self.type_url = subscription.type_url
        self.rejected: dict[str, Refusal] = {}
        self._subscription = subscription
        self._configurations = configurations
        self._counters = counters
        self._acknowledgements = acknowledgements
        self._send = send
        self._departs = departs
        self._together = together
        self._alone: set[str] = set()
        self._clock = asyncio.get_running_loop().time
        self._patience = Patience(self._clock)
        # Not a dict: taking its first item again and again costs a scan over the places of those taken before.
        self._pending: OrderedDict[str, None] = OrderedDict()
        self._leaving: OrderedDict[str, None] = OrderedDict()
        self._later: dict[str, float] = {}

    def receive(self, received: Received) -> Rejection | None:
        # What it was rejected with comes first: it may be asked for again in the same request.
        rejection = received.rejection
        if rejection is not None and self._try_each(rejection):
            rejection = None
        if rejection is not None:
            self._reject(rejection.resources, rejection.message)
        for name in received.dropped:
            self._forget(name)
        concerned = dict.fromkeys(received.asked)
        if received.everything:
            concerned.update(dict.fromkeys(self._subscription.names))
            concerned.update(dict.fromkeys(self._resources() or ()))
        held = (name for name in concerned if self.told(name) and not self._subscription.owed(name))
        self._acknowledgements.owe_all_along((self.type_url, name) for name in held)
        for name in concerned:
            self._ask(name)
        for name in received.accepted:
            self._alone.discard(name)
            self.rejected.pop(name, None)
            if self._subscription.due(name, self._version(name)):
                self._pending[name] = None
            self._done_if_settled(name)
        return rejection

    def changed(self, names: Collection[str]) -> None:
        concerned = [name for name in names if name in self._subscription]
        self._acknowledgements.owe((self.type_url, name) for name in concerned)
        for name in concerned:
            self._pending[name] = None

    def told(self, name: str) -> str | None:
        return self._subscription.held(name)

    def agreed(self, name: str) -> str | None:
        return self._subscription.agreed(name)

    @property
    def backlog(self) -> bool:
        return bool(self._pending or self._subscription.unanswered) and self._resources() is not None

    @property
    def waiting(self) -> bool:
        return self.backlog and self._subscription.window > 0

    @property
    def busy(self) -> bool:
        return self.backlog or self._subscription.awaiting

    @property
    def leaving(self) -> bool:
        return bool(self._leaving)

    @property
    def clings(self) -> bool:
        return any(self._subscription.agreed(name) is not None for name in self.rejected)

    @property
    def due_at(self) -> float | None:
        return min((at for at in (self._patience.until, *self._later.values()) if at is not None), default=None)

    async def write(self) -> None:
        """At most a slice of what waits. Raises what `send` raises."""
        self._look_at_later()
        if self._patience.exhausted(blocked=self._blocked):
            log.warning("client_does_not_acknowledge", type_url=self.type_url, waiting=len(self._pending))
            self._subscription.give_up()
        resources = self._resources()
        if resources is not None and self._subscription.window:
            await self._say(self._settle_slice(resources))
        self._patience.exhausted(blocked=self._blocked)

    async def write_leaving(self) -> None:
        """At most a slice of what has gone. Raises what `send` raises."""
        resources = self._resources() or {}
        gone: list[str] = []
        while self._leaving and len(gone) < SLICE:
            name, _ = self._leaving.popitem(last=False)
            if name not in resources and self._subscription.due(name, REMOVED):
                gone.append(name)
            else:
                self._done_if_settled(name)
        response = self._removed(gone) if gone else None
        await self._say([response] if response is not None else [])

    def keep_leaving(self) -> None:
        if self._acknowledgements.owing:
            for name in self._leaving:
                self._acknowledgements.done((self.type_url, name))

    async def _say(self, responses: list[Response]) -> None:
        if responses:
            await self._send(*(response.data for response in responses))
            for response in responses:
                self._subscription.sent(response)

    def _settle_slice(self, resources: Mapping[str, Encoded]) -> list[Response]:
        responses: list[Response] = []
        removed: list[str] = []
        together: list[tuple[str, str, bytes]] = []
        size = looked_at = 0
        version = self._configurations.version(self.type_url)
        window = self._subscription.window
        while self._pending and looked_at - len(together) < SLICE and size < FULL:
            name = next(iter(self._pending))
            alone = not self._together or name in self._alone
            if len(responses) + bool(together) >= window and (alone or not together):
                break
            del self._pending[name]
            looked_at += 1
            encoded = resources.get(name)
            if self._need_not_be_said(name, encoded.version if encoded is not None else REMOVED):
                continue
            if encoded is not None:
                self._leaving.pop(name, None)
                self._counters.sent += 1
                if alone:
                    responses.append(self._subscription.resource(name, encoded.version, encoded.resource, version))
                else:
                    together.append((name, encoded.version, encoded.resource))
                    size += len(name) + len(encoded.version) + len(encoded.resource)
            elif self._departs and self.told(name):
                self._leaving[name] = None
            else:  # also one that was leaving, and was rejected meanwhile
                self._leaving.pop(name, None)
                removed.append(name)
        if together:
            responses.append(self._subscription.resources(together, version))
        nothing_at_all = self._subscription.unanswered and not (responses or self._pending)
        if (removed or nothing_at_all) and (response := self._removed(removed)) is not None:
            responses.append(response)
        return responses

    def _version(self, name: str) -> str:
        encoded = (self._resources() or {}).get(name)
        return encoded.version if encoded is not None else REMOVED

    def _need_not_be_said(self, name: str, version: str) -> bool:
        if not self._subscription.due(name, version):
            self.rejected.pop(name, None)
            self._leaving.pop(name, None)
            self._done_if_settled(name)
            return True
        refusal = self.rejected.get(name)
        if refusal is None or refusal.version != version:
            return False
        self._acknowledgements.done((self.type_url, name))  # that was its last word
        return True

    def _removed(self, names: list[str]) -> Response | None:
        self._counters.removed += len(names)
        return self._subscription.removed(names, self._configurations.version(self.type_url))

    def _ask(self, name: str) -> None:
        """It was asked for. What was rejected is given again, but not in a loop."""
        if name in self.rejected and name not in self._later:
            self._later[name] = self._clock() + ASK_AGAIN
        else:
            self._pending[name] = None

    def _look_at_later(self) -> None:
        now = self._clock()
        for name in [name for name, at in self._later.items() if at <= now]:
            del self._later[name]
            self.rejected.pop(name, None)
            self._pending[name] = None

    def _try_each(self, rejection: Rejection) -> bool:
        """Of a response with several the client may have taken some, and not for it to say which."""
        names = [name for name, version in rejection.resources if version != REMOVED]
        if len(names) < 2:
            return False
        for name in names:
            if name in self._subscription:
                self._alone.add(name)
                self._pending[name] = None
        return True

    def _reject(self, resources: Iterable[tuple[str, str]], reason: str) -> None:
        for name, version in resources:
            if name in self._subscription:
                self.rejected[name] = Refusal(version, reason)
                self._alone.add(name)
            self._acknowledgements.done((self.type_url, name))

    def _done_if_settled(self, name: str) -> None:
        if name not in self._pending and name not in self._leaving and self._subscription.settled(name):
            self._acknowledgements.done((self.type_url, name))

    def _forget(self, name: str) -> None:
        self._pending.pop(name, None)
        self._leaving.pop(name, None)
        self._later.pop(name, None)
        self._alone.discard(name)
        self.rejected.pop(name, None)
        self._acknowledgements.done((self.type_url, name))

    @property
    def _blocked(self) -> bool:
        return self.backlog and not self._subscription.window

    def _resources(self) -> Mapping[str, Encoded] | None:
        return self._configurations.resources(self.type_url)
