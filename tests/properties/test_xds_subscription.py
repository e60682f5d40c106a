"""Random histories of a delta subscription: see scenes.conversation."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from scenes.conversation import TYPE, Conversation, names, some_names

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.subscription import (
    REMOVED,
    WILDCARD,
    Received,
    Subscription,
)
from sidecar.xds.subscription_delta import DeltaSubscription


class DeltaConversation(Conversation):
    def new_subscription(self) -> Subscription:
        return DeltaSubscription(TYPE)

    def server_reads(self, data: bytes) -> Received:
        assert isinstance(self.subscription, DeltaSubscription)
        return self.subscription.receive(wire.DeltaDiscoveryRequest.FromString(data))

    def client_reads(self, data: bytes) -> tuple[str, dict[str, str]]:
        response = wire.DeltaDiscoveryResponse.FromString(data)
        assert response.type_url == TYPE
        said = {item.name: item.version for item in response.resources}
        assert len(said) == len(response.resources) <= 1
        return response.nonce, {**said, **dict.fromkeys(response.removed_resources, REMOVED)}

    def client_answers(self, nonce: str, error: str | None) -> None:
        self.request(response_nonce=nonce, error_detail=wire.Status(message=error) if error else None)

    def request(self, **fields: Any) -> None:
        self.to_server.append(wire.DeltaDiscoveryRequest(type_url=TYPE, **fields).SerializeToString())

    @initialize(wanted=st.lists(names, max_size=3))
    def the_first_request(self, wanted: list[str]) -> None:
        self.interest.update(dict.fromkeys(wanted))
        self.reconnect()

    @rule()
    def the_stream_breaks(self) -> None:
        self.reconnect()

    def reconnect(self) -> None:
        """The client says what it wants and what it has; what was under way is lost."""
        self.connect()
        self.told = dict(self.has)
        self.credit.update(name for name in self.interest if name not in self.has)
        self.request(resource_names_subscribe=list(self.interest), initial_resource_versions=self.has)

    @rule(wanted=some_names)
    def the_client_subscribes(self, wanted: list[str]) -> None:
        for name in wanted:
            self.has.pop(name, None)  # it may have forgotten what it asks for again
        self.interest.update(dict.fromkeys(wanted))
        self.credit.update(set(wanted))
        self.request(resource_names_subscribe=wanted)

    @rule(unwanted=some_names, wanted=st.lists(names, max_size=1))
    def the_client_unsubscribes(self, unwanted: list[str], wanted: list[str]) -> None:
        for name in unwanted:
            self.interest.pop(name, None)
            self.has.pop(name, None)
        self.interest.update(dict.fromkeys(wanted))
        self.credit.update(set(wanted) | set(unwanted))  # a farewell may repeat a removal
        self.request(resource_names_unsubscribe=unwanted, resource_names_subscribe=wanted)

    @rule(on=st.booleans())
    def the_client_turns_to_the_wildcard(self, on: bool) -> None:
        """It is answered like a name that there is not."""
        self.credit[WILDCARD] += 1
        if on:
            self.interest[WILDCARD] = None
            self.request(resource_names_subscribe=[WILDCARD])
        else:
            self.interest.pop(WILDCARD, None)
            self.request(resource_names_unsubscribe=[WILDCARD])


TestDelta = DeltaConversation.TestCase
TestDelta.settings = settings(max_examples=300, stateful_step_count=50)
