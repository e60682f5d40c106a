"""Random histories of a state-of-the-world subscription: see scenes.conversation."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from scenes.conversation import TYPE, Conversation, names, some_names

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.subscription import (
    REMOVED,
    Received,
    Subscription,
)
from sidecar.xds.subscription_world import StateOfTheWorldSubscription


class StateOfTheWorldConversation(Conversation):
    def new_subscription(self) -> Subscription:
        return StateOfTheWorldSubscription(TYPE)

    def server_reads(self, data: bytes) -> Received:
        assert isinstance(self.subscription, StateOfTheWorldSubscription)
        request = wire.DiscoveryRequest.FromString(data)
        known = set(self.subscription.names)
        received = self.subscription.receive(request)
        if request.response_nonce not in ("", self.built) and self.built:
            assert not received.asked
            assert set(self.subscription.names) <= known
        return received

    def client_reads(self, data: bytes) -> tuple[str, dict[str, str]]:
        response = wire.DiscoveryResponse.FromString(data)
        assert response.type_url == TYPE
        said = dict(resource.decode().split() for resource in response.resources)
        assert len(said) == len(response.resources)
        assert response.version_info
        assert said or not self.answered, "nothing at all was said twice"
        self.answered = True
        assert not self.to_client, "a second response before the first was acknowledged"
        return response.nonce, said

    def client_answers(self, nonce: str, error: str | None) -> None:
        self.request(wire.Status(message=error) if error else None)

    def request(self, error: Any = None, nonce: str | None = None) -> None:
        request = wire.DiscoveryRequest(
            type_url=TYPE,
            resource_names=list(self.interest),
            response_nonce=self.last_nonce if nonce is None else nonce,
            error_detail=error,
        )
        self.to_server.append(request.SerializeToString())

    def the_server_read(self, received: Received) -> None:
        rejection = received.rejection
        if rejection is not None and len(rejection.resources) > 1:
            for name in {name for name, _ in rejection.resources}.intersection(self.subscription.names):
                self.alone.add(name)
                self.waiting[name] = None

    def settle(self, name: str) -> None:
        names = [name] if name in self.alone else [name, *(each for each in self.waiting if each not in self.alone)]
        found = []
        for each in names[: self.at_once]:
            self.waiting.pop(each, None)
            version = self.world.get(each, REMOVED)
            if self.subscription.due(each, version):
                found.append((each, version, f"{each} {version}".encode()))
        if found:
            self.send(self.subscription.resources(found))

    @precondition(lambda self: self.sending is None and not self.waiting and self.subscription.unanswered)
    @rule()
    def the_server_says_that_there_is_nothing(self) -> None:
        if self.subscription.window:
            self.send(self.subscription.removed([]))

    def settle_all(self) -> None:
        if self.unheard:
            self.request()
        super().settle_all()
        if self.subscription.unanswered:
            self.the_server_says_that_there_is_nothing()
            super().settle_all()
        assert not self.subscription.unanswered
        assert self.subscription.removed([]) is None

    def is_absent(self, name: str) -> None:
        """State of the world has no word for it, and the client keeps what it has."""

    @initialize(wanted=st.lists(names, max_size=3), at_once=st.integers(1, 4))
    def the_first_request(self, wanted: list[str], at_once: int) -> None:
        self.at_once = at_once
        self.interest.update(dict.fromkeys(wanted))
        self.the_stream_breaks()

    @rule()
    def the_stream_breaks(self) -> None:
        self.connect()
        self.answered = self.unheard = False
        self.alone: set[str] = set()
        self.credit.update(set(self.interest))
        self.request()

    @rule(wanted=some_names, unwanted=st.lists(names, max_size=2))
    def the_client_changes_its_list(self, wanted: list[str], unwanted: list[str]) -> None:
        for name in set(unwanted).difference(wanted):
            self.interest.pop(name, None)
            self.has.pop(name, None)
        self.credit.update(name for name in {*wanted} if name not in self.interest)
        self.interest.update(dict.fromkeys(wanted))
        self.request()

    @rule(wanted=some_names)
    def the_client_asks_under_a_nonce_that_is_not_the_last(self, wanted: list[str]) -> None:
        """Nothing comes of it until it asks in its turn."""
        self.credit.update(name for name in {*wanted} if name not in self.interest)
        self.interest.update(dict.fromkeys(wanted))
        self.request(nonce="of nobody")
        self.unheard = True


TestStateOfTheWorld = StateOfTheWorldConversation.TestCase
TestStateOfTheWorld.settings = settings(max_examples=300, stateful_step_count=50)
