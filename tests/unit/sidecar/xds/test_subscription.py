"""The rules of the xDS protocol, one at a time. Random histories are in tests/properties/test_xds_subscription.py."""

from __future__ import annotations

from typing import Any

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.subscription import REMOVED, Received, Response
from sidecar.xds.subscription_delta import DELTA_WINDOW, UNACKNOWLEDGED, UNACKNOWLEDGED_NAMES, DeltaSubscription
from sidecar.xds.subscription_world import StateOfTheWorldSubscription

TYPE = "type.googleapis.com/x"


class Delta:
    """The server's side of a delta stream, driven by hand."""

    def __init__(self, **first: Any) -> None:
        self.subscription = DeltaSubscription(TYPE)
        self.first = self.request(**first)

    def request(self, **fields: Any) -> Received:
        return self.subscription.receive(wire.DeltaDiscoveryRequest(type_url=TYPE, **fields))

    def send(self, name: str, version: str) -> Response:
        response = self.subscription.resource(name, version, b"x")
        self.subscription.sent(response)
        return response

    def send_removed(self, *names: str) -> Response:
        response = self.subscription.removed(names)
        assert response is not None
        self.subscription.sent(response)
        return response


class StateOfTheWorld:
    def __init__(self, *names: str) -> None:
        self.subscription = StateOfTheWorldSubscription(TYPE)
        self.first = self.request(names)

    def request(self, names: tuple[str, ...] = (), nonce: str = "", error: str | None = None) -> Received:
        detail = wire.Status(message=error) if error is not None else None
        return self.subscription.receive(
            wire.DiscoveryRequest(type_url=TYPE, resource_names=names, response_nonce=nonce, error_detail=detail)
        )

    def send(self, name: str, version: str) -> Response:
        response = self.subscription.resource(name, version, b"x")
        self.subscription.sent(response)
        return response


class TestDelta:
    def test_a_name_is_asked_once_in_a_request_that_repeats_it(self) -> None:
        stream = Delta(resource_names_subscribe=["a", "b", "a"])
        assert stream.first.asked == ("a", "b")

    def test_what_was_sent_is_not_due_again(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        assert stream.subscription.due("a", "1")
        stream.send("a", "1")
        assert not stream.subscription.due("a", "1")
        assert stream.subscription.due("a", "2")

    def test_a_removal_is_said_once(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        assert stream.subscription.due("a", REMOVED)
        stream.send_removed("a")
        assert not stream.subscription.due("a", REMOVED)
        assert stream.subscription.held("a") is None

    def test_nothing_is_known_to_be_told_before_it_was_sent(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.subscription.resource("a", "1", b"x")
        assert stream.subscription.held("a") is None
        assert stream.subscription.due("a", "1")

    def test_a_version_known_from_before_is_not_due(self) -> None:
        stream = Delta(resource_names_subscribe=["a", "b"], initial_resource_versions={"a": "1", "c": "9"})
        assert not stream.subscription.owed("a")
        assert not stream.subscription.due("a", "1")
        assert stream.subscription.due("a", "2")
        assert stream.subscription.due("a", REMOVED)
        assert stream.subscription.owed("b")
        assert "c" not in stream.subscription

    def test_known_versions_count_in_the_first_request_only(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.request(resource_names_subscribe=["b"], initial_resource_versions={"b": "1"})
        assert stream.subscription.due("b", "1")

    def test_a_name_asked_again_is_owed_even_if_the_client_has_it(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.send("a", "1")
        assert stream.request(resource_names_subscribe=["a"]).asked == ("a",)
        assert stream.subscription.due("a", "1")
        assert stream.subscription.held("a") == "1"

    def test_a_name_dropped_and_asked_again_is_cold(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.send("a", "1")
        received = stream.request(resource_names_unsubscribe=["a"], resource_names_subscribe=["a"])
        assert (received.dropped, received.asked) == (["a"], ("a",))
        assert stream.subscription.held("a") is None
        assert stream.subscription.owed("a")

    def test_a_name_asked_again_while_its_answer_is_written_is_still_owed(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        under_way = stream.subscription.resource("a", "1", b"x")
        stream.request(resource_names_unsubscribe=["a"], resource_names_subscribe=["a"])
        stream.subscription.sent(under_way)
        assert stream.subscription.owed("a")
        assert stream.subscription.held("a") is None

    def test_a_name_dropped_while_its_answer_is_written_stays_dropped(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        under_way = stream.subscription.resource("a", "1", b"x")
        stream.request(resource_names_unsubscribe=["a"])
        stream.subscription.sent(under_way)
        assert "a" not in stream.subscription
        assert not stream.subscription.due("a", "2")

    def test_an_unsubscription_has_no_answer(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        received = stream.request(resource_names_unsubscribe=["a", "never"])
        assert (received.dropped, received.farewell) == (["a"], [])

    def test_an_unsubscription_beside_a_wildcard_has_an_answer(self) -> None:
        stream = Delta(resource_names_subscribe=["*", "a", "b"])
        received = stream.request(resource_names_unsubscribe=["a", "b"], resource_names_subscribe=["b"])
        assert received.farewell == ["a"]

    def test_the_wildcard_is_answered_like_a_name(self) -> None:
        stream = Delta(resource_names_subscribe=["a", "*"])
        assert stream.first.asked == ("a", "*")
        assert stream.subscription.due("*", REMOVED)
        assert stream.request(resource_names_unsubscribe=["*"]).dropped == ["*"]

    def test_an_unsubscription_with_the_wildcard_has_no_answer(self) -> None:
        stream = Delta(resource_names_subscribe=["*", "a"])
        received = stream.request(resource_names_unsubscribe=["*", "a"])
        assert received.farewell == []
        assert not stream.subscription.wildcard

    def test_a_first_request_without_names_means_all(self) -> None:
        stream = Delta()
        assert stream.subscription.wildcard
        assert stream.first.asked == ()
        stream.request(resource_names_subscribe=["a"])
        assert stream.subscription.wildcard
        stream.request(resource_names_unsubscribe=["*"])
        assert not stream.subscription.wildcard
        stream.request(resource_names_unsubscribe=["a"])
        assert not stream.subscription.wildcard

    def test_an_ack_after_names_does_not_mean_all(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.request(response_nonce=stream.send("a", "1").nonce)
        assert not stream.subscription.wildcard

    def test_a_nack_tells_what_was_rejected_and_the_client_has_what_it_had(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        response = stream.send("a", "1")
        received = stream.request(response_nonce=response.nonce, error_detail=wire.Status(code=3, message="no"))
        assert received.rejection is not None
        assert (received.rejection.resources, received.rejection.message) == ((("a", "1"),), "no")
        assert stream.subscription.held("a") is None
        assert stream.subscription.owed("a")

    def test_a_nack_of_a_renewal_or_a_removal_leaves_the_version_before(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        stream.request(response_nonce=stream.send("a", "1").nonce)
        for response in (stream.send("a", "2"), stream.send_removed("a")):
            stream.request(response_nonce=response.nonce, error_detail=wire.Status(message="no"))
        assert stream.subscription.held("a") == "1"

    def test_a_nack_of_what_was_said_before_the_name_was_asked_again_changes_nothing(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        first = stream.send("a", "1")
        stream.request(resource_names_subscribe=["a"])
        stream.send("a", "1")
        stream.request(response_nonce=first.nonce, error_detail=wire.Status(message="no"))
        assert stream.subscription.held("a") == "1"

    def test_a_nack_read_before_the_write_is_seen_to_be_done_is_paired(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        response = stream.subscription.resource("a", "1", b"x")
        received = stream.request(response_nonce=response.nonce, error_detail=wire.Status(message="no"))
        assert received.rejection is not None
        assert received.rejection.resources == (("a", "1"),)

    def test_names_in_a_request_with_an_unknown_nonce_count(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        received = stream.request(response_nonce="77", resource_names_subscribe=["b"])
        assert received.asked == ("b",)

    def test_a_client_that_does_not_acknowledge_is_sent_only_so_much(self) -> None:
        stream = Delta(resource_names_subscribe=["a"])
        nonces: list[str] = []
        while stream.subscription.window:
            nonces.append(stream.send("a", str(len(nonces))).nonce)
        assert len(nonces) == UNACKNOWLEDGED
        stream.request(response_nonce=nonces[5])
        assert stream.subscription.window == 1
        stream.subscription.give_up()
        assert stream.subscription.window == DELTA_WINDOW

    def test_names_that_are_not_acknowledged_count_too(self) -> None:
        names = [str(number) for number in range(UNACKNOWLEDGED_NAMES)]
        stream = Delta(resource_names_subscribe=names)
        response = stream.send_removed(*names)
        assert stream.subscription.window == 0
        stream.request(response_nonce="unknown")
        assert stream.subscription.window == 0
        stream.request(response_nonce=response.nonce)
        assert stream.subscription.window == DELTA_WINDOW

    def test_resources_that_go_together_count_as_one(self) -> None:
        names = [str(number) for number in range(UNACKNOWLEDGED_NAMES)]
        stream = Delta(resource_names_subscribe=names)
        response = stream.subscription.resources([(name, "1", b"x") for name in names])
        stream.subscription.sent(response)
        assert stream.subscription.window == DELTA_WINDOW
        received = stream.request(response_nonce=response.nonce)
        assert list(received.accepted) == names
        assert not stream.subscription.awaiting
        stream.send_removed(*names)
        assert stream.subscription.window == 0

    def test_removals_beside_the_last_resource_leave_nothing_more_to_send(self) -> None:
        stream = Delta(resource_names_subscribe=["a", "b"])
        while stream.subscription.window > 1:
            stream.send("a", "1")
        stream.send_removed("b")
        stream.send("a", "2")
        assert stream.subscription.window == 0

    def test_removals_are_one_response(self) -> None:
        stream = Delta(resource_names_subscribe=["a", "b"])
        response = wire.DeltaDiscoveryResponse.FromString(stream.send_removed("a", "b").data)
        assert list(response.removed_resources) == ["a", "b"]
        assert (response.type_url, list(response.resources)) == (TYPE, [])


class TestStateOfTheWorld:
    def test_names_that_are_new_in_the_list_are_asked(self) -> None:
        stream = StateOfTheWorld("a")
        response = stream.send("a", "1")
        received = stream.request(("a", "b"), response.nonce)
        assert (received.asked, received.dropped) == (["b"], [])
        assert not stream.subscription.due("a", "1")

    def test_names_that_are_not_in_the_list_are_dropped(self) -> None:
        stream = StateOfTheWorld("a", "b")
        assert stream.request(("b",)).dropped == ["a"]

    def test_the_next_response_waits_for_the_ack(self) -> None:
        stream = StateOfTheWorld("a", "b")
        assert stream.subscription.window == 1
        response = stream.send("a", "1")
        assert stream.subscription.window == 0
        stream.request(("a", "b"), response.nonce)
        assert stream.subscription.window == 1
        stream.send("b", "1")
        stream.subscription.give_up()
        assert stream.subscription.window == 1

    def test_the_ack_may_be_read_before_the_write_is_seen_to_be_done(self) -> None:
        stream = StateOfTheWorld("a", "b")
        response = stream.subscription.resource("a", "1", b"x")
        stream.request(("a", "b"), response.nonce)
        stream.subscription.sent(response)
        assert stream.subscription.window == 1
        assert stream.subscription.held("a") == "1"

    def test_a_nack_is_an_answer_too(self) -> None:
        stream = StateOfTheWorld("a")
        received = stream.request(("a",), stream.send("a", "1").nonce, error="no")
        assert received.rejection is not None
        assert received.rejection.resources == (("a", "1"),)
        assert stream.subscription.window == 1
        assert stream.subscription.held("a") is None

    def test_a_stale_nonce_acknowledges_nothing(self) -> None:
        stream = StateOfTheWorld("a")
        first = stream.send("a", "1")
        stream.request(("a",), first.nonce)
        stream.send("a", "2")
        stream.request(("a",), first.nonce, error="of the first")
        assert stream.subscription.window == 0

    def test_a_name_dropped_and_listed_again_under_a_stale_nonce_is_owed(self) -> None:
        stream = StateOfTheWorld("a")
        response = stream.send("a", "1")
        stream.request(())
        stream.request(("a",))
        stream.request(("a",), response.nonce)
        assert stream.subscription.due("a", "1")

    def test_an_empty_list_means_all_only_before_any_name(self) -> None:
        stream = StateOfTheWorld()
        assert stream.subscription.wildcard
        stream.request(("*", "a"))
        assert stream.subscription.wildcard
        stream.request(("a",))
        assert not stream.subscription.wildcard
        assert stream.request(()).dropped == ["a"]
        assert not stream.subscription.wildcard

    def test_there_are_no_words_for_a_removal(self) -> None:
        stream = StateOfTheWorld("a")
        assert not stream.subscription.due("a", REMOVED)
        assert stream.subscription.removed(["a"]) is None
        stream.send("a", "1")
        assert not stream.subscription.due("a", REMOVED)

    def test_a_resource_that_comes_into_being_later_is_due(self) -> None:
        stream = StateOfTheWorld("a")
        assert stream.subscription.due("a", "1")
