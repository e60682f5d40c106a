"""One discovery stream with all its types: requests in, each to its type; responses out, in order.

A stream of a service for one type is the same with that type only. All is kept by stream and nothing by node: while an
Envoy restarts hot, there are two of one name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from sidecar.grpcfast import RpcError, Status
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.config import NamedConfigStream
from sidecar.xds.config_stream import ConfigStream, Configurations
from sidecar.xds.config_whole import WholeConfigStream
from sidecar.xds.counters import Counters, TypeCounters
from sidecar.xds.ended import FILTER_NAME, EndedRegistrations
from sidecar.xds.lease import EndedLease
from sidecar.xds.octets import read
from sidecar.xds.order import REFERRING, Order
from sidecar.xds.refusal import Refusal
from sidecar.xds.send import Send
from sidecar.xds.stream import SecretStream
from sidecar.xds.subscription import Rejection, Subscription, nonces
from sidecar.xds.subscription_delta import DeltaSubscription
from sidecar.xds.subscription_whole import WholeSubscription
from sidecar.xds.subscription_world import StateOfTheWorldSubscription
from sidecar.xds.types import CONFIGURATIONS, EXTENSION, ORDER, SECRET, WHOLE
from sidecar.xds.unserved import Unserved

# A request of one type, decoded; what it rejects.
Receive = Callable[[Any], Rejection | None]

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the streams of a sidecar have in common. `secrets`: makes the part of a stream that serves secrets.

    `on_nack`: by type.
    """

    configurations: Configurations
    secrets: Callable[[Subscription, Acknowledgements, Send, Callable[[], None]], SecretStream]
    ended: EndedRegistrations
    counters: Counters
    by_type: Mapping[str, TypeCounters]
    on_nack: Callable[[str, Rejection], None]


class DiscoveryStream:
    """To be made on the loop. `receive` and `changed` are synchronous, `write` has one caller, `close` comes after it.

    `delta`: else state of the world. `only`: the type of a service for one, which its requests need not say.
    `wake`: called when there may be something to write.
    """

    def __init__(
        self, shared: Shared, send: Send, wake: Callable[[], None], *, delta: bool, only: str | None = None
    ) -> None:
        self._shared = shared
        self._send = send
        self._wake = wake
        self._delta = delta
        self._only = only
        self._numbers = nonces()
        self._order = Order(asyncio.get_running_loop().time)
        self._receivers: dict[str, Receive] = {}
        self._configs: dict[str, ConfigStream] = {}
        self._secrets: SecretStream | None = None
        self._lease: EndedLease | None = None
        self._unserved = Unserved(self._numbers, send)
        self._subscriptions: list[WholeSubscription | Subscription] = []
        self.acknowledgements = Acknowledgements()
        self.node = ""
        self.requests = 0
        self.over = False
        """To be ended in good order."""

    def receive(self, data: bytes) -> None:
        """A request. Raises DecodeError, RpcError."""
        request = read(wire.DeltaDiscoveryRequest, data) if self._delta else read(wire.DiscoveryRequest, data)
        self.requests += 1
        if request.HasField("node"):  # certain in the first request only
            self.node = request.node.id
            # Not above debug: without ADS a stream may be one handshake.
            log.debug("envoy_asks", node=self.node, type_url=request.type_url)
        type_url = request.type_url or self._only or ""
        if not type_url:
            raise RpcError(Status.INVALID_ARGUMENT, "type_url is needed on an aggregated stream")
        if self._only not in {None, type_url}:
            return
        receive = self._receivers.get(type_url) or self._open(type_url)
        if receive is not None and (rejection := receive(request)) is not None:
            self._shared.on_nack(type_url, rejection)

    def changed(self, changed: Mapping[str, Collection[str]]) -> None:
        """By type, the names of configurations that are others now. Of no name: the type is known now."""
        for type_url, config in self._configs.items():
            if type_url in changed:
                config.changed(changed[type_url])
        self._wake()

    def end(self) -> None:
        self.over = True
        self._wake()

    def wake(self) -> None:
        """Something may have changed that it asks about itself."""
        self._wake()

    async def write(self) -> None:
        """At most a slice of what waits, of each type. Raises what `send` raises."""
        for config in self._order.writable():
            await config.write()
        if self._secrets is not None:
            await self._secrets.write()
        if self._lease is not None:
            await self._lease.write()
        await self._unserved.write()
        for config in self._order.leaving():
            await config.write_leaving()

    @property
    def waiting(self) -> bool:
        """There is more to write now."""
        return self._order.waiting or (self._secrets is not None and self._secrets.waiting)

    def give_up(self) -> None:
        """The client says nothing more: no acknowledgement is waited for."""
        for subscription in self._subscriptions:
            subscription.give_up()

    @property
    def unfinished(self) -> bool:
        """Something was written since `give_up`, or may be written now: there may be more."""
        return self.waiting or any(subscription.awaiting for subscription in self._subscriptions)

    @property
    def loading(self) -> bool:
        """There will be more without a request; `wake` is called then."""
        return self._secrets is not None and self._secrets.loading

    @property
    def due_at(self) -> float | None:
        """When to write all the same, by the loop's clock."""
        parts = (self._order, self._secrets, self._lease)
        times = (part.due_at for part in parts if part is not None)
        return min((at for at in times if at is not None), default=None)

    def close(self) -> None:
        """The stream has ended."""
        if self._secrets is not None:
            self._secrets.close()

    # --- what is asked about it

    def asks(self, type_url: str) -> bool:
        """Whether the client has asked for anything of the type."""
        return type_url in self._receivers

    def told(self, type_url: str, name: str) -> str | None:
        """The version that the client has as far as we know."""
        part = self._part(type_url)
        return None if part is None else part.told(name)

    def agreed(self, type_url: str, name: str) -> str | None:
        """The version that the client has by its own word."""
        part = self._part(type_url)
        return None if part is None else part.agreed(name)

    def rejected(self, type_url: str) -> Mapping[str, Refusal]:
        """By name; of which the client's last word was a NACK."""
        part = self._lease if type_url == EXTENSION else self._part(type_url)
        return {} if part is None else part.rejected

    @property
    def failing(self) -> Collection[str]:
        """Secrets of which the client has an earlier version, and the newer one cannot be had."""
        return () if self._secrets is None else self._secrets.failing

    def _part(self, type_url: str) -> ConfigStream | SecretStream | None:
        return self._secrets if type_url == SECRET else self._configs.get(type_url)

    # --- a type is asked for the first time

    def _open(self, type_url: str) -> Receive | None:
        receive: Receive
        if type_url == SECRET:
            receive = self._open_secrets()
        elif type_url in CONFIGURATIONS:
            receive = self._open_config(type_url)
        elif type_url == EXTENSION and self._delta:
            self._lease = EndedLease(self._shared.ended, self._shared.counters, self._send, self._numbers)
            receive = self._lease_and_others(self._lease)
        elif self._delta:
            return self._unserved.receive
        else:
            # Neither an error nor answered: an answer without resources would tell Envoy to delete what it has.
            return None
        self._receivers[type_url] = receive
        return receive

    def _open_secrets(self) -> Receive:
        subscription = self._subscription(SECRET, wildcards=False)
        self._secrets = secrets = self._shared.secrets(subscription, self.acknowledgements, self._send, self._wake)

        def receive(request: Any) -> Rejection | None:
            received = subscription.receive(request)
            secrets.receive(received)
            return received.rejection

        return receive

    def _open_config(self, type_url: str) -> Receive:
        common = (self._shared.configurations, self._shared.by_type[type_url], self.acknowledgements, self._send)
        departs = type_url in REFERRING
        subscription: WholeSubscription | DeltaSubscription | StateOfTheWorldSubscription
        config: ConfigStream
        if type_url in WHOLE and not self._delta:
            subscription = WholeSubscription(type_url, numbers=self._numbers)
            self._subscriptions.append(subscription)
            config = WholeConfigStream(subscription, *common, departs=departs)
        else:
            subscription = self._subscription(type_url, wildcards=True)
            # Envoy's start waits for the first response of clusters and of listeners, and what is in it. In state of
            # the world the next response would wait for its acknowledgement.
            together = type_url in WHOLE or not self._delta
            config = NamedConfigStream(subscription, *common, departs=departs, together=together)
        self._configs[type_url] = config
        self._order.streams = [self._configs[known] for known in ORDER if known in self._configs]

        def receive(request: Any) -> Rejection | None:
            return config.receive(subscription.receive(request))

        return receive

    def _subscription(self, type_url: str, *, wildcards: bool) -> DeltaSubscription | StateOfTheWorldSubscription:
        kind = DeltaSubscription if self._delta else StateOfTheWorldSubscription
        subscription = kind(type_url, wildcards=wildcards, numbers=self._numbers)
        self._subscriptions.append(subscription)
        return subscription

    def _lease_and_others(self, lease: EndedLease) -> Receive:
        def receive(request: Any) -> Rejection | None:
            self._unserved.receive(request, served=(FILTER_NAME,))
            return lease.receive(request)

        return receive
