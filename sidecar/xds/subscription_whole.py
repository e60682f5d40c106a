"""The state-of-the-world variant for listeners and clusters, where a response is the whole set and absence is removal.

XDS#grouping-resources-into-responses, XDS#deleting-resources. Not by name, so this is no Subscription: what is told and
what the client agreed to are sets. One response at a time is out, as in subscription_world.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.configurations import Encoded
from sidecar.xds.subscription import OVERDUE, Received, Rejection, Response, nonces
from sidecar.xds.subscription_world import Listed

Versions = Mapping[str, str]  # by name


class WholeSubscription:
    def __init__(self, type_url: str, *, numbers: Iterator[str] | None = None) -> None:
        self.type_url = type_url
        self._numbers = nonces() if numbers is None else numbers
        self._listed = Listed()
        self._named: dict[str, None] = {}
        # The last ask, and the last that was answered.
        self._asks = self._answered_asks = 0
        # None: not known. A client that comes back has what it had.
        self._told: dict[str, str] | None = None
        self._has: dict[str, str] | None = None
        self._rejected: dict[str, str] | None = None
        # Sets that are not answered yet, by nonce: the last one, and those that are no longer waited for.
        self._open: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._last_nonce = ""
        self._last_ask = 0
        self.awaiting = False
        self.accepted = False
        """The client's last word was an ACK."""

    def __contains__(self, name: str) -> bool:
        """Whether a change of it concerns the client."""
        return self._listed.wildcard or name in self._named

    def __len__(self) -> int:
        return len(self._named)

    @property
    def told(self) -> Versions:
        """By our last word, unless the client has rejected that."""
        return self._told or {}

    @property
    def has(self) -> Versions:
        """By the client's own word."""
        return self._has or {}

    @property
    def settled(self) -> bool:
        """The client has had the last word."""
        return self._asks == self._answered_asks and not self.awaiting

    def give_up(self) -> None:
        """The client owes an ACK for too long: no longer wait for it."""
        self.awaiting = False

    def receive(self, request: wire.DiscoveryRequest) -> Received:
        rejection: Rejection | None = None
        accepted: tuple[str, ...] = ()
        if (said := self._open.pop(request.response_nonce, None)) is not None:
            last = request.response_nonce == self._last_nonce
            rejection, accepted = self._answered(said, request, last=last)
            self.awaiting = self.awaiting and not last
        listed, everything = self._listed.read(request, self._named, self._last_nonce)
        asked = [name for name in listed if name not in self._named]
        dropped = [name for name in self._named if name not in listed]
        self._named = listed
        if asked or everything:
            # XDS#how-the-client-specifies-what-resources-to-return: resent, whatever was sent before.
            self._asks += 1
            self._rejected = None
        if not self._listed.wildcard:
            # What is not subscribed any more the client drops by itself.
            for known in (self._told or {}, self._has or {}):
                for name in [name for name in known if name not in listed]:
                    del known[name]
        return Received(asked, dropped, (), rejection, everything, accepted)

    def wanted(self, resources: Mapping[str, Encoded]) -> dict[str, Encoded]:
        """Those of them that the client wants."""
        if self._listed.wildcard:
            return dict(resources)
        return {name: resources[name] for name in self._named if name in resources}

    def due(self, wanted: Mapping[str, Encoded]) -> bool:
        """Whether the set must be said: once, and what the client has rejected not before it is another."""
        if self._asks != self._answered_asks:
            return True
        versions = {name: encoded.version for name, encoded in wanted.items()}
        return versions not in (self._told, self._rejected)

    def response(self, wanted: Mapping[str, Encoded], whole: str) -> Response:
        """`whole`: the version of the type."""
        nonce = next(self._numbers)
        message = wire.DiscoveryResponse(
            version_info=whole,
            resources=[encoded.resource for encoded in wanted.values()],
            type_url=self.type_url,
            nonce=nonce,
        )
        self._last_nonce, self._last_ask, self._rejected, self.awaiting = nonce, self._asks, None, True
        self._open[nonce] = {name: encoded.version for name, encoded in wanted.items()}
        if len(self._open) > OVERDUE:
            self._open.popitem(last=False)
        says = tuple((name, 0, version) for name, version in self._open[nonce].items())
        return Response(message.SerializeToString(), nonce, says)

    def sent(self, response: Response) -> None:
        """The response was written. Before that is noticed, it may have been rejected, and names asked or dropped."""
        self._answered_asks = self._last_ask
        if self._rejected is None:
            self._told = {name: version for name, _, version in response.says if name in self}

    def _answered(
        self, said: dict[str, str], request: wire.DiscoveryRequest, *, last: bool
    ) -> tuple[Rejection | None, tuple[str, ...]]:
        """A NACK is of the response as a whole; at fault is something that the client did not have."""
        rejected = request.HasField("error_detail")
        self.accepted = last and not rejected
        if not rejected:
            self._has = {name: version for name, version in said.items() if name in self}
            return None, tuple(said)
        at_fault = tuple((name, version) for name, version in said.items() if self.has.get(name) != version)
        if last:
            self._rejected, self._told = said, None if self._has is None else dict(self._has)
        return Rejection(at_fault, request.error_detail.message), ()
