"""One client's configuration of the filter `nameplate.ended`, on its delta stream beside the secrets.

The list is on a lease: Envoy drops a resource whose time to live has passed (XDS#ttl), and asks about every request
from then on. So a stream that is cut, or a sidecar that hangs, delays the end of a registration by LEASE at most.
One response at a time is out. A client that rejects the list is told that there is none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.wire import discovery_pb2 as wire
from sidecar.wire.filter_pb2 import Filter
from sidecar.xds.counters import Counters
from sidecar.xds.ended import FILTER_NAME, FILTER_TYPE, EndedRegistrations
from sidecar.xds.refusal import Refusal
from sidecar.xds.send import Send
from sidecar.xds.subscription import Rejection, nonces

# Seconds. A sidecar that crashes is back sooner, and a connection's decision outlives it by no more.
LEASE: Final = 15
RENEWAL: Final = 5.0
# Until a client that does not acknowledge is written to all the same: its lease must not end for that.
ACK_PATIENCE: Final = 2.0
# Between responses: a burst of changes is one list, and one of 5,000 (60 ms of Envoy's main thread) is sent twice a
# second.
SPACING: Final = 0.005
SPACING_EACH: Final = 0.0001


@dataclass(frozen=True, slots=True)
class Sent:
    """The response whose acknowledgement is awaited. `version`: None for a heartbeat."""

    nonce: str
    version: str | None


class EndedLease:
    """To be made on the loop. Who calls `write` does so after a request, when the list has changed, and at `due_at`.

    `numbers`: the nonces of the stream.
    """

    def __init__(
        self,
        registrations: EndedRegistrations,
        counters: Counters,
        send: Send,
        numbers: Iterator[str] | None = None,
    ) -> None:
        self._registrations = registrations
        self._counters = counters
        self._send = send
        self._clock = asyncio.get_running_loop().time
        self._subscribed = False
        self._held: str | None = None  # the version that the client has
        self._rejected: str | None = None
        self.rejected: dict[str, Refusal] = {}
        self._numbers = nonces() if numbers is None else numbers
        self._sent: Sent | None = None
        self._sent_at = -math.inf
        self._spaced_until = -math.inf

    def receive(self, request: wire.DeltaDiscoveryRequest) -> Rejection | None:
        """A request for this type."""
        rejection = self._acknowledged(request)
        if FILTER_NAME in request.resource_names_unsubscribe:
            self._subscribed, self._held = False, None
        if FILTER_NAME in request.resource_names_subscribe:
            # XDS#subscribing-to-resources: asked again, it is answered again; by a heartbeat if the client has it.
            self._subscribed, self._sent_at = True, self._clock() - RENEWAL
            self._held = request.initial_resource_versions.get(FILTER_NAME)
        return rejection

    @property
    def due_at(self) -> float | None:
        """When to look again, by the loop's clock, though nothing has happened."""
        if not self._subscribed:
            return None
        now = self._clock()
        if now < self._spaced_until:
            return self._spaced_until
        if self._sent is not None:
            return self._sent_at + ACK_PATIENCE
        return (self._sent_at if self._held is not None else now) + RENEWAL

    async def write(self) -> None:
        """What is due. Raises what `send` raises."""
        now = self._clock()
        if not self._subscribed or now < self._spaced_until:
            return
        since = now - self._sent_at
        if self._sent is not None:
            if since < ACK_PATIENCE:
                return
            self._sent = None
        if since > LEASE:
            self._held = None  # this process stood still, and the client has dropped it
        config = self._registrations.config()
        if config is None or config.version == self._rejected:
            # A client without one asks about every request (envoy/connection.yaml), and one that waits for the list is
            # told nothing: that it is not known yet does not mean that there is none.
            if self._held is not None:
                await self._respond("", Filter.Response(removed_resources=[FILTER_NAME]))
            return
        lease = Filter.Duration(seconds=LEASE)
        if config.version != self._held:
            resource = Filter.LeasedResource(
                name=FILTER_NAME, version=config.version, resource=config.resource, ttl=lease
            )
            self._counters.ended_lists += 1
            await self._respond(config.version, Filter.Response(resources=[resource]), config.length)
        elif since >= RENEWAL:
            # XDS#ttl: a heartbeat is a resource without its body.
            heartbeat = Filter.LeasedResource(name=FILTER_NAME, version=config.version, ttl=lease)
            await self._respond(None, Filter.Response(resources=[heartbeat]))

    async def _respond(self, version: str | None, response: Filter.Response, length: int = 0) -> None:
        """`version`: what the client has afterwards; "": nothing; None: what it had. `length`: of the list in it."""
        response.type_url = FILTER_TYPE
        response.nonce = next(self._numbers)
        self._sent, self._sent_at = Sent(response.nonce, version), self._clock()
        self._spaced_until = self._sent_at + SPACING + SPACING_EACH * length
        if version is not None:
            self._held = version or None
        await self._send(response.SerializeToString())

    def _acknowledged(self, request: wire.DeltaDiscoveryRequest) -> Rejection | None:
        sent = self._sent
        if sent is None or request.response_nonce != sent.nonce:
            return None
        self._sent = None
        if not request.HasField("error_detail"):
            if sent.version:
                self.rejected.clear()
            return None
        if sent.version is None:
            self._held = None  # the lease had ended before the heartbeat came: it needs the list again
            return None
        # Whatever it has now is not this list: have it drop that.
        self._rejected = sent.version or self._rejected
        self.rejected[FILTER_NAME] = Refusal(sent.version, request.error_detail.message)
        return Rejection(((FILTER_NAME, sent.version),), request.error_detail.message)
