"""The delta variant: XDS#incremental-xds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.subscription import (
    OVERDUE,
    REMOVED,
    WILDCARD,
    Received,
    Rejection,
    Response,
    Saying,
    Subscription,
)

# Resource responses in one go, before changed names are looked at again: a handshake that asks meanwhile waits for
# at most so many writes.
DELTA_WINDOW: Final = 32
# Responses, and removals in them, whose ACK is awaited. Envoy 1.40 was seen to take 400 MB more for a moment when
# 10,000 names were removed as fast as it would read, and 60 MB with these. Resources that go together are bounded by
# their bytes.
UNACKNOWLEDGED: Final = 64
UNACKNOWLEDGED_NAMES: Final = 500


class DeltaSubscription(Subscription):
    def __init__(self, type_url: str, *, wildcards: bool = False, numbers: Iterator[str] | None = None) -> None:
        super().__init__(type_url, wildcards=wildcards, numbers=numbers)
        self._started = False
        self._explicit = False
        self._awaited: dict[str, tuple[Saying, ...]] = {}
        self._awaited_names = 0
        self._overdue: OrderedDict[str, tuple[Saying, ...]] = OrderedDict()

    @property
    def window(self) -> int:
        if self._awaited_names >= UNACKNOWLEDGED_NAMES:
            return 0
        # Removals go out beside the resources that the window was meant for, so there may be more than it allows.
        return max(0, min(DELTA_WINDOW, UNACKNOWLEDGED - len(self._awaited)))

    @property
    def awaiting(self) -> bool:
        return bool(self._awaited)

    def give_up(self) -> None:
        self._overdue.update(self._awaited)
        while len(self._overdue) > OVERDUE:
            self._overdue.popitem(last=False)
        self._awaited.clear()
        self._awaited_names = 0

    def receive(self, request: wire.DeltaDiscoveryRequest) -> Received:
        """XDS#incremental-xds: subscription changes count whatever the nonce is; it only pairs ACK and response."""
        rejection, accepted = self._acknowledged(request)
        # XDS#incremental-xds: known versions come with the first request of a stream.
        versions: Mapping[str, str] = {} if self._started else request.initial_resource_versions
        self._started = True
        asked = dict.fromkeys(request.resource_names_subscribe)
        unwanted = dict.fromkeys(request.resource_names_unsubscribe)
        # XDS#how-the-client-specifies-what-resources-to-return: never a name, so all are meant.
        everything = not (asked or unwanted or self._explicit or self.wildcard)
        self._explicit = self._explicit or bool(asked or unwanted)
        if WILDCARD in unwanted:
            # Also if it is in both lists, by which clients say that they want nothing, and not everything.
            self.wildcard = False
            asked.pop(WILDCARD, None)
        everything = everything or WILDCARD in asked
        self.wildcard = self.wildcard or everything
        if self._wildcards:
            return self._with_wildcards(asked, unwanted, versions, rejection, accepted, everything=everything)
        # A name in both lists is dropped first: the client wants it anew.
        dropped = [name for name in unwanted if self._records.pop(name, None) is not None]
        # XDS#unsubscribing-from-resources: not answered, except beside a wildcard, where the client cannot know
        # whether the wildcard still gives it the resource. Names that were not subscribed are ignored.
        farewell = [name for name in dropped if name not in asked] if self.wildcard else []
        # The wildcard is answered like a name too: Envoy asks for it when a client sends it as SNI, and until it hears
        # that there is no such secret it takes each one for an answer to that, a wrong one, and rejects it.
        for name in asked:
            self._subscribe(name, versions.get(name))
        return Received(tuple(asked), dropped, farewell, rejection, accepted=accepted, known=bool(versions))

    def _with_wildcards(
        self,
        asked: dict[str, None],
        unwanted: Iterable[str],
        versions: Mapping[str, str],
        rejection: Rejection | None,
        accepted: Sequence[str],
        *,
        everything: bool,
    ) -> Received:
        asked.pop(WILDCARD, None)
        dropped: list[str] = []
        unsure: list[str] = []
        for name in unwanted:
            record = self._records.get(name)
            if record is None or not record.named:
                continue
            if self.wildcard and name not in asked:
                # XDS#unsubscribing-from-resources: the client is told whether the wildcard still gives it the resource.
                self._ask(name, record.told, record.has, owed=True, named=False)
                unsure.append(name)
            else:
                del self._records[name]
                dropped.append(name)
        if WILDCARD in unwanted:
            covered = [name for name, record in self._records.items() if not record.named]
            for name in covered:
                del self._records[name]
            dropped += covered
        if everything:
            for name, record in list(self._records.items()):
                if not record.named:
                    self._ask(name, record.told, record.has, owed=True, named=False)
            self._unanswered = not versions
        for name in asked:
            self._subscribe(name, versions.get(name))
        if self.wildcard:
            for name, version in versions.items():
                if version and name not in self._records:
                    self._ask(name, version, version, owed=False, named=False)
        return Received((*asked, *unsure), dropped, (), rejection, everything, accepted, bool(versions))

    def resources(self, found: Sequence[tuple[str, str, bytes]], whole: str = "") -> Response:
        nonce = next(self._numbers)
        message = wire.DeltaDiscoveryResponse(
            system_version_info=whole,
            resources=[
                wire.Resource(version=version, resource=resource, name=name) for name, version, resource in found
            ],
            type_url=self.type_url,
            nonce=nonce,
        )
        says = tuple(self._says(name, version) for name, version, _ in found)
        return self._await_ack(message.SerializeToString(), nonce, says)

    def removed(self, names: Iterable[str], whole: str = "") -> Response:
        """XDS#knowing-when-a-requested-resource-does-not-exist, XDS#deleting-resources.

        Without a name: that there is nothing, for a client that asked for all and waits for a first response.
        """
        names = tuple(names)
        nonce = next(self._numbers)
        message = wire.DeltaDiscoveryResponse(
            system_version_info=whole, type_url=self.type_url, nonce=nonce, removed_resources=names
        )
        return self._await_ack(message.SerializeToString(), nonce, tuple(self._says(name, REMOVED) for name in names))

    def _await_ack(self, data: bytes, nonce: str, says: tuple[Saying, ...]) -> Response:
        # From here on and not from `sent`: the ACK may be read before the write is seen to be done.
        self._awaited[nonce] = says
        self._awaited_names += _weight(says)
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

    def _acknowledged(self, request: wire.DeltaDiscoveryRequest) -> tuple[Rejection | None, Sequence[str]]:
        nonce = request.response_nonce
        says = self._awaited.pop(nonce, None)
        if says is not None:
            self._awaited_names -= _weight(says)
        else:
            says = self._overdue.pop(nonce, None)
        return (None, ()) if says is None else self._answered(says, request)


def _weight(says: tuple[Saying, ...]) -> int:
    """In names, as far as their number counts."""
    return len(says) if all(version == REMOVED for _, _, version in says) else 1
