"""What a client asked for, and what it was told, on one stream for one type URL: what all variants have in common.

This file and the variants (subscription_delta, subscription_world, subscription_whole) do no I/O and do not know what a
resource is: names and versions come in, names that need an answer and encoded responses come out. A response is built
first and recorded by `sent` when it was written, so that a stream that breaks in between leaves no false memory.

Source of every rule: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol (XDS below).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from sidecar.wire import discovery_pb2 as wire

WILDCARD: Final = "*"
REMOVED: Final = ""  # the "version" of a resource that does not exist

# Responses that the client has not acknowledged after a while are no longer waited for, but still paired with what it
# says of them later; so many of them.
OVERDUE: Final = 1024


Saying = tuple[str, int, str]  # name, which ask it answers, version (or REMOVED)
Request = wire.DeltaDiscoveryRequest | wire.DiscoveryRequest


def nonces() -> Iterator[str]:
    """XDS#basic-protocol-overview: a nonce means something on its own stream only; there it is of one response only,
    whatever the type, as some clients mix the types up."""
    return map(str, count(1))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A NACK: what was rejected (name, version), in the client's words."""

    resources: tuple[tuple[str, str], ...]
    message: str


@dataclass(frozen=True, slots=True)
class Received:
    """What a request changes. `asked`: to be answered. `dropped`: no longer subscribed.

    `everything`: whatever there is was asked for. `farewell`: unsubscribed names that must be answered as removed all
    the same. `accepted`: names of which a version was acknowledged. `known`: the client said which versions it has.
    """

    asked: Sequence[str] = ()
    dropped: Sequence[str] = ()
    farewell: Sequence[str] = ()
    rejection: Rejection | None = None
    everything: bool = False
    accepted: Sequence[str] = ()
    known: bool = False


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
    `named`: asked for by its name, and not only covered by a wildcard.
    """

    ask: int
    owed: bool
    told: str | None
    has: str | None
    agreed: bool
    named: bool = True


class Subscription(ABC):
    """One stream, one type URL. Not thread-safe; bound to nothing else.

    `wildcards`: the wildcard stands for all resources of the type. Else it stands for nothing and is a name like others
    (secrets). `numbers`: the nonces of the stream.
    """

    def __init__(self, type_url: str, *, wildcards: bool = False, numbers: Iterator[str] | None = None) -> None:
        self.type_url = type_url
        self.wildcard = False
        self._wildcards = wildcards
        self._numbers = nonces() if numbers is None else numbers
        self._records: dict[str, Record] = {}
        self._asks = 0
        self._unanswered = False

    def __contains__(self, name: str) -> bool:
        """Whether a change of it concerns the client."""
        return name in self._records or self.covers_all

    def __len__(self) -> int:
        return len(self._records)

    @property
    def covers_all(self) -> bool:
        return self.wildcard and self._wildcards

    @property
    def names(self) -> Iterable[str]:
        """Names subscribed to or told of; for types without wildcards, on a delta stream, the wildcard among them."""
        return self._records.keys()

    def held(self, name: str) -> str | None:
        """The version that the client has as far as we know; None when it has none."""
        record = self._records.get(name)
        return record.told or None if record is not None else None

    def standing(self, name: str) -> tuple[str | None, bool]:
        """`held` and `owed`."""
        record = self._records.get(name)
        return (None, False) if record is None else (record.told or None, record.owed)

    def agreed(self, name: str) -> str | None:
        """The version that the client has by its own word."""
        record = self._records.get(name)
        return record.has or None if record is not None else None

    def owed(self, name: str) -> bool:
        """Whether the client asked for a subscribed name and was not answered yet."""
        record = self._records.get(name)
        return record is not None and record.owed

    def settled(self, name: str) -> bool:
        """The client has had the last word: it agrees to what it was told, or does not care."""
        record = self._records.get(name)
        return record is None or (not record.owed and record.told == record.has)

    def due(self, name: str, version: str) -> bool:
        """Whether `version` (REMOVED: that there is none) must be said. A version is said once, and so is REMOVED.

        XDS#when-to-send-an-update: only what has changed is sent.
        """
        record = self._records.get(name)
        if record is None:
            return self.covers_all and version != REMOVED
        return record.owed or record.told != version

    @property
    def unanswered(self) -> bool:
        """All was asked for, and nothing has been said since."""
        return self._unanswered

    @property
    @abstractmethod
    def window(self) -> int:
        """How many responses with a resource may be sent now; 0: nothing at all before an ACK."""

    @property
    @abstractmethod
    def awaiting(self) -> bool:
        """Whether a response was built whose acknowledgement is still waited for."""

    @abstractmethod
    def give_up(self) -> None:
        """The client owes an ACK for too long: no longer wait for any of them."""

    def resource(self, name: str, version: str, resource: bytes, whole: str = "") -> Response:
        """A response with one resource, an encoded Any. `whole`: the version of the type."""
        return self.resources(((name, version, resource),), whole)

    @abstractmethod
    def resources(self, found: Sequence[tuple[str, str, bytes]], whole: str = "") -> Response:
        """A response with these, at least one: name, version, encoded Any. A client rejects a response as a whole."""

    @abstractmethod
    def removed(self, names: Iterable[str], whole: str = "") -> Response | None:
        """A response that says that there are no such resources; None when the variant has no words for it."""

    def sent(self, response: Response) -> None:
        """The response was written. Names that were dropped or asked again since it was built are left alone."""
        self._unanswered = False
        for name, ask, version in response.says:
            record = self._records.get(name)
            if record is not None and record.ask == ask:
                record.told = version
                record.owed = False

    def _answered(self, says: tuple[Saying, ...], request: Request) -> tuple[Rejection | None, Sequence[str]]:
        """What was rejected, or else accepted.

        XDS#ack-and-nack-semantics-summary: `error_detail` alone makes it a NACK; the client keeps what it had.
        """
        rejected = request.HasField("error_detail")
        for name, ask, version in says:
            record = self._records.get(name)
            if record is None and self.covers_all and version != REMOVED and not rejected:
                # It was under way when the client gave all up and asked for all again, and took it then.
                self._ask(name, version, version, owed=False, named=False)
            if record is None or record.ask != ask:
                continue
            if not rejected:
                record.has, record.agreed = version, True
                if not record.named and record.told == version == REMOVED:
                    del self._records[name]
            elif record.told == version:
                record.told, record.owed = record.has, not record.agreed
        if not rejected:
            return None, [name for name, _, _ in says]
        return Rejection(tuple((name, version) for name, _, version in says), request.error_detail.message), ()

    def _ask(self, name: str, told: str | None, has: str | None, *, owed: bool, named: bool = True) -> None:
        self._asks += 1
        self._records[name] = Record(self._asks, owed, told, has, not owed, named)

    def _says(self, name: str, version: str) -> Saying:
        record = self._records.get(name)
        if record is None and self.covers_all:
            self._ask(name, None, None, owed=True, named=False)
            record = self._records[name]
        return name, record.ask if record is not None else 0, version
