"""What a client asked for, and what it was told, on one stream for one type URL: delta and state of the world.

This file does no I/O and does not know what a resource is: names and versions come in, names that need an answer and
encoded responses come out. A response is built first and recorded by `sent` when it was written, so that a stream
that breaks in between leaves no false memory.

Source of every rule: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol (XDS below).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.wire import discovery_pb2 as wire

WILDCARD: Final = "*"
REMOVED: Final = ""  # the "version" of a resource that does not exist

# Resource responses in one go, before changed names are looked at again: a handshake that asks meanwhile waits for
# at most so many writes.
DELTA_WINDOW: Final = 32
# Responses, and names in them, whose ACK is awaited. Envoy 1.40 was seen to take 400 MB more for a moment when 10,000
# names were removed as fast as it would read, and 60 MB with these.
UNACKNOWLEDGED: Final = 64
UNACKNOWLEDGED_NAMES: Final = 500


Saying = tuple[str, int, str]  # name, which ask it answers, version (or REMOVED)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A NACK: what was rejected (name, version), in the client's words."""

    resources: tuple[tuple[str, str], ...]
    message: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a request changes. `asked`: to be answered. `dropped`: no longer subscribed.

    `farewell`: unsubscribed names that must be answered as removed all the same.
    """

    asked: Sequence[str] = ()
    dropped: Sequence[str] = ()
    farewell: Sequence[str] = ()
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An encoded response that is not sent yet."""

    data: bytes = field(repr=False)
    nonce: str
    says: tuple[Saying, ...]


@dataclass(slots=True)
class Record:
    """`ask`: which of the stream's asks it stems from. `owed`: an answer is due whatever the client was told.

    `told`: the version by our last word or by the client's own, REMOVED, or None when nothing was said. `has`: the
    same, as far as the client has agreed; `agreed`: to something that was said since it asked.
    """

    ask: int
    owed: bool
    told: str | None
    has: str | None
    agreed: bool


class Subscription(ABC):
    """One stream, one type URL. Not thread-safe; bound to nothing else."""

    def __init__(self, type_url: str) -> None:
        self.type_url = type_url
        self.wildcard = False
        self._records: dict[str, Record] = {}
        self._asks = 0
        self._responses = 0

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    @property
    def names(self) -> Iterable[str]:
        """The names subscribed to; on a delta stream the wildcard among them."""
        return self._records.keys()

    def held(self, name: str) -> str | None:
        """The version that the client has as far as we know; None when it has none."""
        record = self._records.get(name)
        return record.told or None if record is not None else None

    def owed(self, name: str) -> bool:
        """Whether the client asked for a subscribed name and was not answered yet."""
        record = self._records.get(name)
        return record is not None and record.owed

    def due(self, name: str, version: str) -> bool:
        """Whether `version` (REMOVED: that there is none) must be said. A version is said once, and so is REMOVED.

        XDS#when-to-send-an-update: only what has changed is sent.
        """
        record = self._records.get(name)
        return record is not None and (record.owed or record.told != version)

    @property
    @abstractmethod
    def window(self) -> int:
        """How many responses with a resource may be sent now; 0: nothing at all before an ACK."""

    @abstractmethod
    def give_up(self) -> None:
        """The client owes an ACK for too long: no longer wait for any of them."""

    @abstractmethod
    def resource(self, name: str, version: str, resource: bytes) -> Response:
        """A response with one resource, an encoded Any. One a response: a client rejects a response as a whole."""

    @abstractmethod
    def removed(self, names: Iterable[str]) -> Response | None:
        """A response that says that there are no such resources; None when the variant has no words for it."""

    def sent(self, response: Response) -> None:
        """The response was written. Names that were dropped or asked again since it was built are left alone."""
        for name, ask, version in response.says:
            record = self._records.get(name)
            if record is not None and record.ask == ask:
                record.told = version
                record.owed = False

    def _answered(
        self, says: tuple[Saying, ...], request: wire.DeltaDiscoveryRequest | wire.DiscoveryRequest
    ) -> Rejection | None:
        """XDS#ack-and-nack-semantics-summary: `error_detail` alone makes it a NACK; the client keeps what it had."""
        rejected = request.HasField("error_detail")
        for name, ask, version in says:
            record = self._records.get(name)
            if record is None or record.ask != ask:
                continue
            if not rejected:
                record.has, record.agreed = version, True
            elif record.told == version:
                record.told, record.owed = record.has, not record.agreed
        if not rejected:
            return None
        return Rejection(tuple((name, version) for name, _, version in says), request.error_detail.message)

    def _ask(self, name: str, told: str | None, has: str | None, *, owed: bool) -> None:
        self._asks += 1
        self._records[name] = Record(self._asks, owed, told, has, not owed)

    def _nonce(self) -> str:
        # XDS#basic-protocol-overview: a nonce means something on its own stream only.
        self._responses += 1
        return str(self._responses)

    def _says(self, name: str, version: str) -> Saying:
        record = self._records.get(name)
        return name, record.ask if record is not None else 0, version


class DeltaSubscription(Subscription):
    """XDS#incremental-xds."""

    def __init__(self, type_url: str) -> None:
        super().__init__(type_url)
        self._started = False
        self._explicit = False
        self._awaited: dict[str, tuple[Saying, ...]] = {}
        self._awaited_names = 0

    @property
    def window(self) -> int:
        if self._awaited_names >= UNACKNOWLEDGED_NAMES:
            return 0
        # Removals go out beside the resources that the window was meant for, so there may be more than it allows.
        return max(0, min(DELTA_WINDOW, UNACKNOWLEDGED - len(self._awaited)))

    def give_up(self) -> None:
        self._awaited.clear()
        self._awaited_names = 0

    def receive(self, request: wire.DeltaDiscoveryRequest) -> Received:
        """XDS#incremental-xds: subscription changes count whatever the nonce is; it only pairs ACK and response."""
        rejection = self._acknowledged(request)
        # XDS#incremental-xds: known versions come with the first request of a stream.
        versions: Mapping[str, str] = {} if self._started else request.initial_resource_versions
        self._started = True
        subscribe, unsubscribe = request.resource_names_subscribe, request.resource_names_unsubscribe
        if subscribe:
            self._explicit = True
        elif not unsubscribe and not self._explicit:
            # XDS#how-the-client-specifies-what-resources-to-return: never a name, so all are meant.
            self.wildcard = True
        if WILDCARD in unsubscribe:
            self.wildcard = False
        # A name in both lists is dropped first: the client wants it anew.
        dropped = [name for name in dict.fromkeys(unsubscribe) if self._records.pop(name, None) is not None]
        # XDS#unsubscribing-from-resources: not answered, except beside a wildcard, where the client cannot know
        # whether the wildcard still gives it the resource. Names that were not subscribed are ignored.
        farewell = tuple(dropped) if self.wildcard else ()
        asked = dict.fromkeys(subscribe)
        # Answered like a name too: Envoy asks for it when a client sends it as SNI, and until it hears that there is no
        # such secret it takes each one for an answer to that, a wrong one, and rejects it.
        self.wildcard = self.wildcard or WILDCARD in asked
        for name in asked:
            self._subscribe(name, versions.get(name))
        return Received(tuple(asked), dropped, [name for name in farewell if name not in asked], rejection)

    def resource(self, name: str, version: str, resource: bytes) -> Response:
        nonce = self._nonce()
        message = wire.DeltaDiscoveryResponse(
            resources=[wire.Resource(version=version, resource=resource, name=name)],
            type_url=self.type_url,
            nonce=nonce,
        )
        return self._await_ack(message.SerializeToString(), nonce, (self._says(name, version),))

    def removed(self, names: Iterable[str]) -> Response | None:
        """XDS#knowing-when-a-requested-resource-does-not-exist, XDS#deleting-resources."""
        names = tuple(names)
        nonce = self._nonce()
        message = wire.DeltaDiscoveryResponse(type_url=self.type_url, nonce=nonce, removed_resources=names)
        return self._await_ack(message.SerializeToString(), nonce, tuple(self._says(name, REMOVED) for name in names))

    def _await_ack(self, data: bytes, nonce: str, says: tuple[Saying, ...]) -> Response:
        # From here on and not from `sent`: the ACK may be read before the write is seen to be done.
        self._awaited[nonce] = says
        self._awaited_names += len(says)
        return Response(data, nonce, says)

    def _subscribe(self, name: str, version: str | None) -> None:
        if version:
            # XDS#incremental-xds: told so that it is not sent again.
            self._ask(name, version, version, owed=False)
        else:
            # XDS#subscribing-to-resources: "the server must still provide those resources", even if it believes that
            # the client has them. What it was told before stays known: a name that was not dropped is not cold.
            known = self._records.get(name)
            self._ask(name, *((known.told, known.has) if known is not None else (None, None)), owed=True)

    def _acknowledged(self, request: wire.DeltaDiscoveryRequest) -> Rejection | None:
        says = self._awaited.pop(request.response_nonce, ())
        self._awaited_names -= len(says)
        return self._answered(says, request)


class StateOfTheWorldSubscription(Subscription):
    """XDS#basic-protocol-overview. One response at a time: the next one waits for the ACK or NACK of the last.

    So there is never more than one fresh nonce, and a client whose list of names changes is not kept waiting by a
    server whose every response makes the list's nonce stale.
    """

    def __init__(self, type_url: str) -> None:
        super().__init__(type_url)
        self._explicit = False
        self._last_nonce = ""
        self._awaited: tuple[Saying, ...] | None = None

    @property
    def window(self) -> int:
        return 1 if self._awaited is None else 0

    def give_up(self) -> None:
        self._awaited = None

    def receive(self, request: wire.DiscoveryRequest) -> Received:
        rejection = None
        if request.response_nonce == self._last_nonce:
            rejection = self._answered(self._awaited or (), request)
            self._awaited = None
        # XDS#resource-updates: a request with a stale nonce is not answered: what it asks for waits, as all else,
        # until the fresh one comes. Its list counts, else a name dropped and asked again meanwhile would seem held.
        # XDS#how-the-client-specifies-what-resources-to-return: the list is whole each time. An empty one means all
        # until a name was listed, and none after that.
        listed = dict.fromkeys(request.resource_names)
        self._explicit = self._explicit or bool(listed)
        self.wildcard = WILDCARD in listed if self._explicit else True
        listed.pop(WILDCARD, None)
        dropped = [name for name in self._records if name not in listed]
        for name in dropped:
            del self._records[name]
        asked = [name for name in listed if name not in self._records]
        for name in asked:
            # XDS#ack-nack-and-resource-type-instance-version: `version_info` of an earlier stream is not used. It
            # tells of the last response only, not which names the client had then.
            self._ask(name, None, None, owed=True)
        return Received(asked, dropped, (), rejection)

    def due(self, name: str, version: str) -> bool:
        # XDS#deleting-resources: "no mechanism for the server to tell the client", and the client keeps what it has.
        return version != REMOVED and super().due(name, version)

    def resource(self, name: str, version: str, resource: bytes) -> Response:
        # XDS#grouping-resources-into-responses: for types other than listeners and clusters a response need not hold
        # the resources that have not changed.
        nonce = self._nonce()
        message = wire.DiscoveryResponse(
            version_info=version, resources=[resource], type_url=self.type_url, nonce=nonce
        )
        self._last_nonce = nonce
        self._awaited = (self._says(name, version),)
        return Response(message.SerializeToString(), nonce, self._awaited)

    def removed(self, names: Iterable[str]) -> Response | None:
        return None
