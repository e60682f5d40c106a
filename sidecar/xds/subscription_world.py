"""The state-of-the-world variant by name: XDS#basic-protocol-overview. Listeners and clusters: subscription_whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.subscription import OVERDUE, REMOVED, WILDCARD, Received, Rejection, Response, Saying, Subscription

# The version of no resources, where the type as a whole has none.
NOTHING: Final = "0"


class Listed:
    """The names of a client that sends its whole list each time.

    XDS#how-the-client-specifies-what-resources-to-return: an empty list means all until a name was listed, and none
    after that.

    XDS#resource-updates: a request with a stale nonce is not answered. So what it asks for waits until the fresh one
    comes, whose list is whole again. What it gives up counts at once, else a name dropped and asked again meanwhile
    would seem held.
    """

    def __init__(self) -> None:
        self._explicit = False
        self.wildcard = False

    def read(
        self, request: wire.DiscoveryRequest, known: Container[str], last_nonce: str
    ) -> tuple[dict[str, None], bool]:
        """The names, and whether everything is asked for that was not before.

        `known`: the names before. `last_nonce`: of our last response; "": there was none.
        """
        # Without a nonce it is the first request, or of a client that counts no responses.
        fresh = not last_nonce or request.response_nonce in ("", last_nonce)
        listed = dict.fromkeys(request.resource_names)
        self._explicit = self._explicit or bool(listed)
        before = self.wildcard
        self.wildcard = (WILDCARD in listed if self._explicit else True) and (fresh or before)
        for no_name in (WILDCARD, ""):
            listed.pop(no_name, None)
        if not fresh:
            listed = {name: None for name in listed if name in known}
        return listed, self.wildcard and not before


class StateOfTheWorldSubscription(Subscription):
    """One response at a time: the next one waits for the ACK or NACK of the last.

    So there is never more than one fresh nonce, and a client whose list of names changes is not kept waiting by a
    server whose every response makes the list's nonce stale.
    """

    def __init__(self, type_url: str, *, wildcards: bool = False, numbers: Iterator[str] | None = None) -> None:
        super().__init__(type_url, wildcards=wildcards, numbers=numbers)
        self._listed = Listed()
        self._last_nonce = ""
        # What is not answered yet, by nonce: the last response, and those that are no longer waited for.
        self._open: OrderedDict[str, tuple[Saying, ...]] = OrderedDict()
        self._awaiting = False

    @property
    def window(self) -> int:
        return 0 if self._awaiting else 1

    @property
    def awaiting(self) -> bool:
        return self._awaiting

    def give_up(self) -> None:
        self._awaiting = False

    def receive(self, request: wire.DiscoveryRequest) -> Received:
        rejection: Rejection | None = None
        accepted: Sequence[str] = ()
        if (says := self._open.pop(request.response_nonce, None)) is not None:
            rejection, accepted = self._answered(says, request)
        if request.response_nonce == self._last_nonce:
            self._awaiting = False
        listed, everything = self._listed.read(request, self._records, self._last_nonce)
        self.wildcard = self._listed.wildcard
        # A client that asked for all waits for a first response, as in delta. Of secrets the wildcard is a name, too.
        all_asked = everything and (self._wildcards or not request.resource_names)
        self._unanswered = self.wildcard and (self._unanswered or all_asked)
        dropped = [
            name
            for name, record in self._records.items()
            if name not in listed and (record.named or not self.covers_all)
        ]
        for name in dropped:
            del self._records[name]
        asked = [name for name in listed if name not in self._records or not self._records[name].named]
        for name in asked:
            # XDS#ack-nack-and-resource-type-instance-version: `version_info` of an earlier stream is not used. It
            # tells of the last response only, not which names the client had then.
            self._ask(name, None, None, owed=True)
        if self.covers_all:
            asked += dropped  # which the wildcard gives all the same
        return Received(asked, dropped, (), rejection, everything and self._wildcards, accepted)

    def settled(self, name: str) -> bool:
        record = self._records.get(name)
        # Of what does not exist an answer is owed until it does.
        return record is None or record.told == record.has

    def due(self, name: str, version: str) -> bool:
        # XDS#deleting-resources: "no mechanism for the server to tell the client", and the client keeps what it has.
        return version != REMOVED and super().due(name, version)

    def resources(self, found: Sequence[tuple[str, str, bytes]], whole: str = "") -> Response:
        # XDS#grouping-resources-into-responses: for types other than listeners and clusters a response need not hold
        # the resources that have not changed.
        nonce = next(self._numbers)
        message = wire.DiscoveryResponse(
            version_info=whole or (found[0][1] if found else NOTHING),
            resources=[resource for _, _, resource in found],
            type_url=self.type_url,
            nonce=nonce,
        )
        says = tuple(self._says(name, version) for name, version, _ in found)
        self._last_nonce, self._awaiting = nonce, True
        self._open[nonce] = says
        if len(self._open) > OVERDUE:
            self._open.popitem(last=False)
        return Response(message.SerializeToString(), nonce, says)

    def removed(self, names: Iterable[str], whole: str = "") -> Response | None:
        """Only that there is nothing at all."""
        return self.resources((), whole) if self._unanswered else None
