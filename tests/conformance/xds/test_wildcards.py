"""XDS#how-the-client-specifies-what-resources-to-return and #unsubscribing-from-resources, sentence by sentence."""

from __future__ import annotations

import pytest

from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, NAMES, ROUTE, WHOLE


@pytest.fixture(params=[CLUSTER, LISTENER, ROUTE], ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


def held(*names: str, version: str = "1") -> dict[str, str]:
    return dict.fromkeys(names, version)


class TestDelta:
    async def test_the_documents_example(self, room, delta, type_url):
        """No names: all. A name beside: it continues. Without the wildcard: the name alone. Without it: nothing."""
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url)
        await delta.read_until(type_url, held("A", "B"))
        await delta.subscribe(type_url, "A")
        assert (await delta.read()).resources == held("A")  # asked for by name, it is sent again
        room.put(type_url, "C")
        assert (await delta.read()).resources == held("C")
        await delta.unsubscribe(type_url, "*")
        await room.seen(delta)
        room.put(type_url, "A", "B", "C", version="2")
        assert (await delta.read()).resources == {"A": "2"}
        await delta.unsubscribe(type_url, "A")
        await room.seen(delta)
        room.put(type_url, "A", "B", "C", version="3")
        await delta.ask(type_url)
        assert await delta.rest() == []

    async def test_an_ack_after_the_wildcard_was_given_up_is_not_the_wildcard_again(self, room, delta, type_url):
        room.put(type_url, "A")
        await delta.subscribe(type_url)
        said = await delta.read(acknowledge=False)
        await delta.unsubscribe(type_url, "*")
        await delta.acknowledge(said)
        await room.seen(delta)
        room.put(type_url, "A", version="2")
        assert await delta.rest() == []

    async def test_a_name_given_up_beside_the_wildcard_is_answered_with_what_the_wildcard_gives(
        self, room, delta, type_url
    ):
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url, "*", "A", "Z")
        while delta.held.get(type_url) != held("A", "B") or not any("Z" in said.removed for said in delta.received):
            await delta.read()
        await delta.unsubscribe(type_url, "A", "Z")
        said = [await delta.read(), await delta.read()]
        assert [answer.resources for answer in said if answer.resources] == [held("A")]
        assert [answer.removed for answer in said if answer.removed] == [("Z",)]
        room.put(type_url, "A", version="2")
        assert (await delta.read()).resources == {"A": "2"}
        room.put(type_url, "Z")
        assert (await delta.read()).resources == held("Z")
        assert await delta.rest() == []

    async def test_names_never_subscribed_are_given_up_without_an_answer(self, room, delta, type_url):
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url, "*")
        await delta.read_until(type_url, held("A", "B"))
        await delta.ask(type_url, resource_names_unsubscribe=["A", "never"])  # A comes from the wildcard only
        await delta.ask(type_url, resource_names_unsubscribe=["never"])
        room.put(type_url, "A", version="2")
        assert (await delta.read()).resources == {"A": "2"}
        assert await delta.rest() == []

    async def test_the_wildcard_asked_again_gives_all_again(self, room, delta, type_url):
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url, "*")
        await delta.read_until(type_url, held("A", "B"))
        await delta.subscribe(type_url, "*")
        delta.held[type_url].clear()
        await delta.read_until(type_url, held("A", "B"))
        assert await delta.rest() == []

    async def test_the_wildcard_given_up_and_asked_again_gives_all(self, room, delta, type_url):
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url, "*")
        await delta.read_until(type_url, held("A", "B"))
        await delta.unsubscribe(type_url, "*")
        delta.held[type_url].clear()
        room.put(type_url, "B", version="2")
        await delta.subscribe(type_url, "*")
        await delta.read_until(type_url, {"A": "1", "B": "2"})
        assert await delta.rest() == []

    async def test_the_wildcard_in_both_lists_means_nothing(self, room, delta, type_url):
        """By which clients that want nothing yet say that they do not want everything."""
        room.put(type_url, "A")
        await delta.ask(type_url, resource_names_subscribe=["*"], resource_names_unsubscribe=["*"])
        await delta.subscribe(type_url, "B")
        assert (await delta.read()).removed == ("B",)
        room.put(type_url, "C")
        assert await delta.rest() == []

    async def test_a_name_in_both_lists_is_wanted_anew(self, room, delta, type_url):
        room.put(type_url, "A")
        await delta.subscribe(type_url, "A")
        await delta.read()
        await delta.ask(type_url, resource_names_subscribe=["A"], resource_names_unsubscribe=["A"])
        assert (await delta.read()).resources == held("A")
        room.put(type_url, "A", version="2")
        assert (await delta.read()).resources == {"A": "2"}
        assert await delta.rest() == []

    async def test_a_name_asked_again_is_sent_again(self, room, delta, type_url):
        """XDS#subscribing-to-resources: the client may have forgotten it."""
        room.put(type_url, "A")
        await delta.subscribe(type_url, "A")
        await delta.read()
        await delta.subscribe(type_url, "A", "A")
        assert (await delta.read()).resources == held("A")
        assert await delta.rest() == []

    async def test_a_request_with_a_stale_nonce_counts(self, room, delta, type_url):
        room.put(type_url, "A", "B")
        await delta.subscribe(type_url, "A")
        first = await delta.read()
        room.put(type_url, "A", version="2")
        await delta.read()
        await delta.subscribe(type_url, "B", response_nonce=first.nonce)
        assert (await delta.read()).resources == held("B")
        assert await delta.rest() == []

    async def test_nothing_is_said_of_a_type_that_is_not_known_yet(self, room, delta):
        room.table._types.clear()
        for type_url in (CLUSTER, LISTENER):
            await delta.subscribe(type_url)
            await delta.subscribe(type_url, "A")
        await delta.subscribe("type.googleapis.com/envoy.service.runtime.v3.Runtime")
        await room.seen(delta)
        room.world[LISTENER] = held("A")
        room.tell(LISTENER)
        assert (await delta.read()).resources == held("A")
        room.tell(CLUSTER)
        assert (await delta.read()).removed == ("A",)
        assert await delta.rest() == []

    async def test_endpoints_are_none(self, room, delta):
        await delta.subscribe(ENDPOINT, "A", "B")
        assert (await delta.read()).removed == ("A", "B")
        assert await delta.rest() == []

    async def test_the_version_of_the_type_is_told(self, room, delta):
        """For debugging only, says the document; the test harness looks at it."""
        room.world[CLUSTER] = held("A")
        room.tell(CLUSTER, versions={CLUSTER: "of the whole"})
        await delta.subscribe(CLUSTER)
        assert (await delta.read()).whole == "of the whole"


class TestStateOfTheWorld:
    async def test_the_documents_example(self, room, world, type_url):
        room.put(type_url, "A", "B")
        await world.list(type_url, [])
        await world.read_until(type_url, held("A", "B"))
        await world.list(type_url, ["*", "A"])
        assert "A" in (await world.read()).resources  # newly requested, so it is resent
        await world.list(type_url, ["A"])
        await room.seen(world)
        world.held[type_url].pop("B")
        room.put(type_url, "B", version="2")
        room.put(type_url, "A", version="2")
        assert (await world.read()).resources == {"A": "2"}
        await world.list(type_url, [])
        await room.seen(world)
        room.put(type_url, "A", "B", version="3")
        assert await world.rest() == []

    async def test_a_whole_set_loses_what_is_not_there_any_more(self, room, world):
        room.put(LISTENER, "A", "B", "C")
        await world.list(LISTENER, ["A", "B"])
        assert (await world.read()).resources == held("A", "B")
        room.remove(LISTENER, "A")
        assert (await world.read()).resources == held("B")
        room.remove(LISTENER, "B")
        assert (await world.read()).resources == {}
        room.remove(LISTENER, "C")
        assert await world.rest() == []

    async def test_a_name_that_nobody_has_is_answered_where_a_response_is_whole(self, room, world, type_url):
        room.put(type_url, "A")
        await world.list(type_url, ["Z"])
        if type_url in WHOLE:
            assert (await world.read()).resources == {}
        await world.list(type_url, ["Z", "A"])
        assert (await world.read()).resources == held("A")
        assert await world.rest() == []

    async def test_a_list_that_changes_while_a_response_is_out_is_answered_after_its_ack(self, room, world, type_url):
        """XDS#resource-updates: the request that has a stale nonce is not answered; the list counts all the same."""
        room.put(type_url, "A", "B")
        await world.list(type_url, ["A"])
        said = await world.read(acknowledge=False)
        world._last.clear()
        await world.list(type_url, ["A", "B"])
        await room.seen(world)
        (stream,) = room.service.envoys
        assert not stream.waiting
        world._last[type_url] = said
        await world.acknowledge(said)
        assert "B" in (await world.read()).resources
        assert await world.rest() == []

    async def test_a_nonce_of_another_type_acknowledges_nothing(self, room, world):
        """As the test harness acknowledges a second type by the first one's name."""
        room.put(CLUSTER, "A")
        room.put(LISTENER, "A")
        await world.list(CLUSTER, ["A"])
        await world.read()
        await world.list(LISTENER, ["A"])
        of_listeners = await world.read(acknowledge=False)
        world._last[CLUSTER] = of_listeners
        await world.list(CLUSTER, ["A"])
        room.put(CLUSTER, "A", version="2")
        said = await world.read()
        assert (said.type_url, said.resources) == (CLUSTER, {"A": "2"})
        assert await world.rest() == []

    async def test_the_version_is_the_types(self, room, world):
        room.world[CLUSTER] = held("A", "B")
        room.tell(CLUSTER, versions={CLUSTER: "7"})
        await world.list(CLUSTER, ["A"])
        assert (await world.read()).whole == "7"
