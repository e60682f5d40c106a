"""Envoy's discovery services over the streams: aggregated, and one for each of five types.

| service | methods |
| --- | --- |
| envoy.service.discovery.v3.AggregatedDiscoveryService | StreamAggregatedResources, DeltaAggregatedResources |
| envoy.service.listener.v3.ListenerDiscoveryService | StreamListeners, DeltaListeners, FetchListeners |
| the same for routes, clusters, endpoints and secrets | Stream…, Delta…, Fetch… |

On aggregated delta streams the configuration of one filter is served too (sidecar.xds.lease).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from typing import Final

from google.protobuf.message import DecodeError

from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Entry
from sidecar.grpcfast import Call, Reply, RpcError, Status, reply
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.aggregated import DiscoveryStream, Shared
from sidecar.xds.configurations import ConfigurationTable
from sidecar.xds.counters import Counters, TypeCounters
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.envoys import Envoys
from sidecar.xds.index import Index
from sidecar.xds.nacks import Nacks
from sidecar.xds.octets import read
from sidecar.xds.resolver import Later, Loader, Names, Resolver, Served
from sidecar.xds.send import Send
from sidecar.xds.stream import SecretStream
from sidecar.xds.subscription import WILDCARD, Subscription
from sidecar.xds.subscription_world import NOTHING
from sidecar.xds.types import EXTENSION, NAMES, ORDER, SECRET

# Requests of a stream that are read before it writes and others have their turn (a millisecond).
AT_ONCE: Final = 64


class DiscoveryService:
    """All streams. Wire `on_change` to the feed; it keeps the streams true and drops keys that are not needed.

    `envoys`: who is connected, and how far. `configurations`: what is served beside secrets.
    """

    def __init__(
        self,
        names: Names,
        loader: Loader,
        secrets: SecretCache,
        platform: PlatformCertificate,
        ended: EndedRegistrations,
        edge: EdgeSecrets,
        configurations: ConfigurationTable | None = None,
    ) -> None:
        self._names = names
        self._secrets = secrets
        self._platform = platform
        self._resolver = Resolver(names, loader, secrets, platform, edge)
        self._index: Index[SecretStream] = Index()
        self._streams: dict[SecretStream, None] = {}
        self._ended = ended
        self._configurations = configurations or ConfigurationTable()
        self.counters = Counters()
        self.by_type = {type_url: TypeCounters() for type_url in ORDER}
        self.envoys = Envoys()
        self._shared = Shared(
            self._configurations,
            self._secret_stream,
            ended,
            self.counters,
            self.by_type,
            Nacks(self.counters, self.by_type).add,
        )
        platform.on_change = self.on_platform_change
        ended.on_change = self._on_ended
        edge.on_change = self.on_edge_change
        self._configurations.on_change = self.envoys.changed
        self.envoys.holding = lambda: self._configurations.held

    def on_change(self, hostnames: frozenset[str]) -> None:
        """The directory's rows for these hostnames (`*.x` for a wildcard, ANY_NAME) may be others now. No I/O."""
        if ANY_NAME in hostnames:
            self._on_any_change()
            hostnames -= {ANY_NAME}
        for hostname in hostnames:
            self._forget_unless_served(hostname)
        for stream, names in self._index.affected(hostnames).items():
            stream.changed(names)

    def on_edge_change(self, names: Collection[str]) -> None:
        """The secrets of these names may be others now."""
        for stream, asked in self._index.affected(names).items():
            stream.changed(asked)

    def on_platform_change(self) -> None:
        """Once in two months: every name is looked at again, and those that have their own certificate are not sent."""
        for stream in self._streams:
            stream.changed_all()

    def _on_ended(self) -> None:
        for stream in self.envoys:
            stream.wake()

    def _on_any_change(self) -> None:
        """Names that the directory does not hold may have gone. Those that are still there are not sent again."""
        for hostname, _ in list(self._secrets.expiries()):
            self._forget_unless_served(hostname)
        for stream in self._streams:
            stream.changed_all()

    def _forget_unless_served(self, hostname: str) -> None:
        """Also when the directory does not know the name any more: a row that changed, and is there, it holds."""
        found = self._names.lookup(hostname)
        if not (isinstance(found, Entry) and found.hostname == hostname and found.fingerprint is not None):
            self._secrets.forget(hostname)

    def type_stats(self) -> dict[str, dict[str, float]]:
        """By short name of each type: its `TypeCounters`, and how many of its resources are rejected now."""
        self.by_type[EXTENSION].sent = self.counters.ended_lists
        return {
            NAMES[type_url]: {**asdict(counters), "rejected": len(self.envoys.rejected(type_url))}
            for type_url, counters in self.by_type.items()
        }

    def stats(self) -> dict[str, float]:
        """Counters and gauges by name: those of `Counters`, and the secret cache's."""
        return {
            **asdict(self.counters),
            "envoys": len(self.envoys.acknowledged()),
            "envoys_behind": self.envoys.behind(),
            "ended": len(self._ended),
            "certificates": len(self._secrets),
            "fetches": self._secrets.fetches,
            "fetch_failures": self._secrets.failures,
            "fetch_seconds": self._secrets.fetch_seconds,
        }

    def platform_expiry(self) -> float | None:
        """End of validity (Unix seconds) of the platform's own certificate; None: there is none."""
        return None if self._platform.current is None else self._platform.current.facts.not_after.timestamp()

    def expiries(self) -> Iterator[tuple[str, float]]:
        """Hostname and end of validity (Unix seconds) of every certificate in memory, the platform's included."""
        if self._platform.current is not None:
            facts = self._platform.current.facts
            yield facts.names[0], facts.not_after.timestamp()
        yield from self._secrets.expiries()

    def close(self) -> None:
        """End every stream in good order, so that a server that stops does not wait for them; Envoy reconnects."""
        for stream in self.envoys:
            stream.end()

    async def delta(self, call: Call, only: str | None = None) -> None:
        """Streaming. `only`: the type of a service for one."""
        await self._serve(call, delta=True, only=only)

    async def state_of_the_world(self, call: Call, only: str | None = None) -> None:
        """Streaming. `only`: the type of a service for one."""
        await self._serve(call, delta=False, only=only)

    async def fetch(self, data: bytes, only: str) -> Reply:
        """Unary. All of the asked names that there are, once. What there is not is left out.

        Without names: all, where the type knows a wildcard. UNAVAILABLE when it is not known yet what there is.
        """
        try:
            request = read(wire.DiscoveryRequest, data)
        except DecodeError:
            raise RpcError(Status.INVALID_ARGUMENT, "not a DiscoveryRequest") from None
        asked = dict.fromkeys(request.resource_names)
        response = wire.DiscoveryResponse(type_url=only)
        if request.type_url in {only, ""}:
            if only == SECRET:
                found = [answer for name in asked if isinstance(answer := await self._answer(name), Served)]
                response.version_info = " ".join(sorted({answer.version for answer in found})) or NOTHING
                response.resources.extend(answer.resource for answer in found)
            else:
                response.version_info = self._configurations.version(only)
                response.resources.extend(self._configured(only, asked))
        return reply(response.SerializeToString())

    def _configured(self, type_url: str, asked: Collection[str]) -> list[bytes]:
        resources = self._configurations.resources(type_url)
        if resources is None:
            raise RpcError(Status.UNAVAILABLE, "not loaded yet")
        names = resources if not asked or WILDCARD in asked else [name for name in asked if name in resources]
        return [resources[name].resource for name in names]

    async def _answer(self, name: str) -> object:
        answer = self._resolver.resolve(name, None)
        return await self._resolver.load(name, None) if answer is Later.LOAD else answer

    def _secret_stream(
        self,
        subscription: Subscription,
        acknowledgements: Acknowledgements,
        send: Send,
        wake: Callable[[], None],
    ) -> SecretStream:
        said = self.by_type[SECRET]
        stream = SecretStream(
            subscription, self._resolver, self._index, self.counters, send, wake, acknowledgements, said
        )
        self._streams[stream] = None
        stream.on_close = self._streams.pop
        return stream

    async def _serve(self, call: Call, *, delta: bool, only: str | None) -> None:
        """All that a stream does, one after the other: while it writes to a client that does not read, it does not
        read from it either, so that nothing but names can pile up."""
        woken = asyncio.Event()

        def wake() -> None:
            woken.set()
            call.wake()

        stream = DiscoveryStream(self._shared, call.send, wake, delta=delta, only=only)
        self.envoys.add(stream, call.connection)
        self.counters.streams += 1
        try:
            while not (call.ended or stream.over):
                full = _read(call, stream)
                await stream.write()
                self.envoys.moved(stream)
                if full or stream.waiting:
                    await asyncio.sleep(0)
                else:
                    await call.wait(stream.due_at)
            await self._finish(stream, woken)
        except DecodeError:
            raise RpcError(Status.INVALID_ARGUMENT, "not a discovery request") from None
        finally:
            self.counters.streams -= 1
            self.envoys.remove(stream)
            stream.close()

    async def _finish(self, stream: DiscoveryStream, woken: asyncio.Event) -> None:
        """The client says no more, and may read all the same: what it has asked for, it is told once."""
        while not stream.over:
            stream.give_up()
            woken.clear()
            await stream.write()
            self.envoys.moved(stream)
            if stream.unfinished:
                await asyncio.sleep(0)
            elif stream.loading:
                await woken.wait()
            else:
                return


def _read(call: Call, stream: DiscoveryStream) -> bool:
    """What has come, or the first AT_ONCE of it. Returns whether there may be more."""
    for _ in range(AT_ONCE):
        data = call.take()
        if data is None:
            return False
        stream.receive(data)
    return True
