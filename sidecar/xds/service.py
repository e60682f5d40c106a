"""Envoy's secret discovery and aggregated discovery services over the streams.

| service | methods |
| --- | --- |
| envoy.service.secret.v3.SecretDiscoveryService | StreamSecrets, DeltaSecrets, FetchSecrets |
| envoy.service.discovery.v3.AggregatedDiscoveryService | StreamAggregatedResources, DeltaAggregatedResources |

Secrets are served, and on delta streams the configuration of one filter (sidecar.xds.lease). What is asked of another
type on an aggregated stream is neither an error nor answered: an answer without resources would tell Envoy to delete
what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final

import structlog
from cachetools import LRUCache
from google.protobuf.message import DecodeError

from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SECRET_TYPE, SecretCache
from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Entry
from sidecar.grpcfast import Call, Reply, RpcError, Status, reply
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.counters import Counters
from sidecar.xds.ended import FILTER_TYPE, EndedRegistrations
from sidecar.xds.index import Index
from sidecar.xds.lease import EndedLease
from sidecar.xds.octets import read
from sidecar.xds.resolver import Later, Loader, Names, Resolver, Served
from sidecar.xds.stream import SecretStream
from sidecar.xds.subscription import DeltaSubscription, Received, Rejection, StateOfTheWorldSubscription, Subscription

REMEMBERED_NACKS: Final = 1024

# Requests of a stream that are read before it writes and others have their turn (a millisecond).
AT_ONCE: Final = 64

log = structlog.stdlib.get_logger(__name__)


class SecretService:
    """All streams. Wire `on_change` to the feed; it keeps the streams true and drops keys that are not needed."""

    def __init__(
        self,
        names: Names,
        loader: Loader,
        secrets: SecretCache,
        platform: PlatformCertificate,
        ended: EndedRegistrations,
    ) -> None:
        self._names = names
        self._secrets = secrets
        self._platform = platform
        self._resolver = Resolver(names, loader, secrets, platform)
        self._index: Index[SecretStream] = Index()
        self._streams: dict[SecretStream, Call] = {}
        self._ended = ended
        self._nacks: LRUCache[tuple[str, str], None] = LRUCache(REMEMBERED_NACKS)
        self.counters = Counters()
        platform.on_change = self.on_platform_change
        ended.on_change = self._on_ended

    def on_change(self, hostnames: frozenset[str]) -> None:
        """The directory's rows for these hostnames (`*.x` for a wildcard, ANY_NAME) may be others now. No I/O."""
        if ANY_NAME in hostnames:
            self._on_any_change()
            hostnames -= {ANY_NAME}
        for hostname in hostnames:
            self._forget_unless_served(hostname)
        for stream, names in self._index.affected(hostnames).items():
            stream.changed(names)

    def on_platform_change(self) -> None:
        """Once in two months: every name is looked at again, and those that have their own certificate are not sent."""
        for stream in self._streams:
            stream.changed_all()

    def _on_ended(self) -> None:
        for call in self._streams.values():
            call.wake()

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

    def stats(self) -> dict[str, float]:
        """Counters and gauges by name: those of `Counters`, and the secret cache's."""
        return {
            **asdict(self.counters),
            "ended": len(self._ended),
            "certificates": len(self._secrets),
            "fetches": self._secrets.fetches,
            "fetch_failures": self._secrets.failures,
            "fetch_seconds": self._secrets.fetch_seconds,
        }

    def expiries(self) -> Iterator[tuple[str, float]]:
        """Hostname and end of validity (Unix seconds) of every certificate in memory, the platform's included."""
        if self._platform.current is not None:
            facts = self._platform.current.facts
            yield facts.names[0], facts.not_after.timestamp()
        yield from self._secrets.expiries()

    def close(self) -> None:
        """End every stream in good order, so that a server that stops does not wait for them; Envoy reconnects."""
        for stream in self._streams:
            stream.end()

    async def delta(self, call: Call) -> None:
        """Streaming."""
        subscription = DeltaSubscription(SECRET_TYPE)
        lease = EndedLease(self._ended, self.counters, call.send)

        def receive(data: bytes) -> Received:
            request = read(wire.DeltaDiscoveryRequest, data)
            _log_opening(request, len(request.resource_names_subscribe))
            if request.type_url == FILTER_TYPE:
                return Received(rejection=lease.receive(request))
            return subscription.receive(request) if _is_secret(request.type_url) else Received()

        await self._serve(call, subscription, receive, lease)

    async def state_of_the_world(self, call: Call) -> None:
        """Streaming."""
        subscription = StateOfTheWorldSubscription(SECRET_TYPE)

        def receive(data: bytes) -> Received:
            request = read(wire.DiscoveryRequest, data)
            _log_opening(request, len(request.resource_names))
            return subscription.receive(request) if _is_secret(request.type_url) else Received()

        await self._serve(call, subscription, receive)

    async def fetch(self, data: bytes) -> Reply:
        """Unary. All of the asked names that there are, once. Names without a certificate are left out."""
        try:
            request = read(wire.DiscoveryRequest, data)
        except DecodeError:
            raise RpcError(Status.INVALID_ARGUMENT, "not a DiscoveryRequest") from None
        names = dict.fromkeys(request.resource_names) if _is_secret(request.type_url) else {}
        found = [answer for name in names if isinstance(answer := await self._answer(name), Served)]
        response = wire.DiscoveryResponse(
            version_info=" ".join(sorted({answer.version for answer in found})),
            resources=[answer.resource for answer in found],
            type_url=SECRET_TYPE,
        )
        return reply(response.SerializeToString())

    async def _answer(self, name: str) -> object:
        answer = self._resolver.resolve(name, None)
        return await self._resolver.load(name, None) if answer is Later.LOAD else answer

    async def _serve(
        self,
        call: Call,
        subscription: Subscription,
        receive: Callable[[bytes], Received],
        lease: EndedLease | None = None,
    ) -> None:
        """All that a stream does, one after the other: while it writes to a client that does not read, it does not
        read from it either, so that nothing but names can pile up."""
        stream = SecretStream(subscription, self._resolver, self._index, self.counters, call.send, call.wake)
        self._streams[stream] = call
        self.counters.streams += 1
        try:
            while not (call.ended or stream.over):
                full = self._read(call, stream, receive)
                await stream.write()
                if lease is not None:
                    await lease.write()
                if full or stream.waiting:
                    await asyncio.sleep(0)
                else:
                    await call.wait(_first(stream.due_at, lease.due_at if lease is not None else None))
        except DecodeError:
            raise RpcError(Status.INVALID_ARGUMENT, "not a discovery request") from None
        finally:
            self.counters.streams -= 1
            del self._streams[stream]
            stream.close()

    def _read(self, call: Call, stream: SecretStream, receive: Callable[[bytes], Received]) -> bool:
        """What has come, or the first AT_ONCE of it. Returns whether there may be more."""
        for _ in range(AT_ONCE):
            data = call.take()
            if data is None:
                return False
            received = receive(data)
            if received.rejection is not None:
                self._on_nack(received.rejection)
            stream.receive(received)
        return True

    def _on_nack(self, rejection: Rejection) -> None:
        """The client keeps what it had; what it hears then is the stream's (REJECTED)."""
        self.counters.nacks += 1
        for resource in rejection.resources:
            if resource not in self._nacks:
                self._nacks[resource] = None
                name, version = resource
                log.error("envoy_rejected", resource=name, version=version, reason=rejection.message)


def _log_opening(request: wire.DeltaDiscoveryRequest | wire.DiscoveryRequest, names: int) -> None:
    # The node is certain in a stream's first request only. Not above debug: without ADS a stream may be one handshake.
    if request.HasField("node"):
        log.debug("envoy_asks", node=request.node.id, type_url=request.type_url, names=names)


def _is_secret(type_url: str) -> bool:
    """A stream of SecretDiscoveryService need not say the type."""
    return type_url in {SECRET_TYPE, ""}


def _first(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
