"""The cases of the CNCF's xDS test harness (features subscribing, unsubscribing, delta), and what they leave open.

Each on all four variants: delta and state of the world, aggregated and on a service for one type.
"""

from __future__ import annotations

import pytest
from scenes.xds import ALL, DeltaClient, WorldClient

from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, NAMES, ROUTE, WHOLE

WITH_WILDCARD = [CLUSTER, LISTENER]


@pytest.fixture(params=[True, False], ids=["delta", "state of the world"])
def is_delta(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["aggregated", "separate"])
def is_aggregated(request):
    return request.param


@pytest.fixture(params=ALL, ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


@pytest.fixture
def client(connect, is_delta, is_aggregated, type_url):
    return connect(delta=is_delta, only=None if is_aggregated else type_url)


def held(*names: str, version: str = "1") -> dict[str, str]:
    return dict.fromkeys(names, version)


@pytest.mark.parametrize("type_url", WITH_WILDCARD, indirect=True, ids=lambda type_url: NAMES[type_url])
class TestWildcard:
    async def test_all_that_there_is_comes_and_an_ack_is_not_answered(self, room, client, type_url):
        room.put(type_url, "A", "B", "C")
        await client.subscribe(type_url)
        await client.read_until(type_url, held("A", "B", "C"))
        assert await client.rest() == []

    async def test_updates_come(self, room, client, type_url):
        room.put(type_url, "A", "B", "C")
        await client.subscribe(type_url)
        await client.read_until(type_url, held("A", "B", "C"))
        room.put(type_url, "A", version="2")
        said = await client.read()
        assert client.held[type_url] == {**held("B", "C"), "A": "2"}
        assert said.resources.keys() == ({"A"} if isinstance(client, DeltaClient) else {"A", "B", "C"})
        assert await client.rest() == []

    async def test_what_is_added_comes(self, room, client, type_url):
        room.put(type_url, "A", "B", "C")
        await client.subscribe(type_url)
        await client.read_until(type_url, held("A", "B", "C"))
        room.put(type_url, "D", version="2")
        await client.read()
        assert client.held[type_url] == {**held("A", "B", "C"), "D": "2"}
        assert await client.rest() == []

    async def test_what_is_removed_goes(self, room, client, type_url):
        room.put(type_url, "A", "B")
        await client.subscribe(type_url)
        await client.read_until(type_url, held("A", "B"))
        room.remove(type_url, "B")
        await client.read()
        assert client.held[type_url] == held("A")
        room.remove(type_url, "A")
        await client.read()
        assert client.held[type_url] == {}
        assert await client.rest() == []

    async def test_of_nothing_the_client_is_told_that_there_is_nothing(self, room, client, type_url):
        """Envoy waits for a first response before it takes connections."""
        await client.subscribe(type_url)
        said = await client.read()
        assert (said.resources, said.removed) == ({}, ())
        room.put(type_url, "A")
        assert (await client.read()).resources == held("A")
        assert await client.rest() == []

    async def test_the_explicit_wildcard_is_the_same(self, room, client, type_url):
        room.put(type_url, "A", "B")
        await client.subscribe(type_url, "*")
        await client.read_until(type_url, held("A", "B"))
        room.put(type_url, "C")
        await client.read_until(type_url, held("A", "B", "C"))
        assert await client.rest() == []


class TestNames:
    async def test_only_what_was_asked_for_comes(self, room, client, type_url):
        room.put(type_url, "A", "B", "C", "D")
        await client.subscribe(type_url, "B", "D")
        await client.read_until(type_url, held("B", "D"))
        room.put(type_url, "A", "C", version="2")
        assert await client.rest() == []

    async def test_one_after_the_other(self, room, client, type_url):
        room.put(type_url, "A", "B", "C")
        await client.subscribe(type_url, "A")
        await client.read_until(type_url, held("A"))
        await client.subscribe(type_url, "B")
        await client.read_until(type_url, held("A", "B"))
        assert await client.rest() == []

    async def test_a_change_comes_alone_unless_the_type_is_whole(self, room, client, type_url):
        room.put(type_url, "A", "B", "C", "D")
        await client.subscribe(type_url, "B", "D")
        await client.read_until(type_url, held("B", "D"))
        before = len(client.received)
        room.put(type_url, "B", version="2")
        said = await client.read()
        assert client.held[type_url] == {"B": "2", "D": "1"}
        whole = isinstance(client, WorldClient) and type_url in WHOLE
        assert said.resources.keys() == ({"B", "D"} if whole else {"B"})
        assert said.nonce not in {earlier.nonce for earlier in client.received[:before]}
        assert await client.rest() == []

    async def test_what_does_not_exist_comes_once_it_does(self, room, client, type_url):
        room.put(type_url, "A")
        await client.subscribe(type_url, "A", "Z")
        if isinstance(client, DeltaClient):
            said = [await client.read(), await client.read()]
            assert [name for answer in said for name in answer.removed] == ["Z"]
        else:
            await client.read()
        assert client.held[type_url] == held("A")
        room.put(type_url, "Z", version="2")
        await client.read()
        assert client.held[type_url] == {"A": "1", "Z": "2"}
        assert await client.rest() == []

    async def test_what_goes_and_comes_back(self, room, client, type_url):
        room.put(type_url, "A", "B")
        await client.subscribe(type_url, "A", "B")
        await client.read_until(type_url, held("A", "B"))
        room.remove(type_url, "B")
        if isinstance(client, DeltaClient):
            assert (await client.read()).removed == ("B",)
        elif type_url in WHOLE:
            assert (await client.read()).resources == held("A")
        room.put(type_url, "B", version="2")
        await client.read()
        assert client.held[type_url] == {"A": "1", "B": "2"}
        assert await client.rest() == []

    async def test_a_name_given_up_is_not_sent_any_more(self, room, client, type_url):
        room.put(type_url, "A", "B", "D")
        await client.subscribe(type_url, "A", "B", "D")
        await client.read_until(type_url, held("A", "B", "D"))
        await client.unsubscribe(type_url, "A", "D")
        await room.seen(client)
        room.put(type_url, "A", "B", "D", version="2")
        assert (await client.read()).resources == {"B": "2"}
        assert await client.rest() == []

    async def test_all_given_up_nothing_is_sent_any_more(self, room, client, type_url):
        """Not even an empty list means all again."""
        room.put(type_url, "A", "B")
        await client.subscribe(type_url, "A", "B")
        await client.read_until(type_url, held("A", "B"))
        await client.unsubscribe(type_url, "A", "B")
        await room.seen(client)
        room.put(type_url, "A", "B", "C", version="2")
        assert await client.rest() == []

    async def test_a_list_of_an_empty_name_gives_all_up(self, room, connect, type_url, is_aggregated):
        """As the harness does it."""
        client = connect(delta=False, only=None if is_aggregated else type_url)
        room.put(type_url, "A", "B")
        await client.subscribe(type_url, "A", "B")
        await client.read_until(type_url, held("A", "B"))
        await client.list(type_url, [""])
        await room.seen(client)
        room.put(type_url, "B", version="2")
        assert await client.rest() == []


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER], ids=lambda type_url: NAMES[type_url])
async def test_all_that_a_start_waits_for_is_in_the_first_response(room, connect, is_delta, is_aggregated, type_url):
    """Envoy waits for that one before it takes connections, and for what is in it to be ready."""
    names = [f"n{number}" for number in range(2000)]
    room.put(type_url, *names)
    client = connect(delta=is_delta, only=None if is_aggregated else type_url)
    await client.subscribe(type_url)
    assert (await client.read()).resources == held(*names)
    assert await client.rest() == []


@pytest.mark.parametrize("is_whole", [True, False], ids=["listeners", "clusters"])
async def test_a_response_is_no_larger_than_clients_take(room, connect, is_whole):
    type_url = LISTENER if is_whole else CLUSTER
    client = connect(delta=True)
    room.put(type_url, *(f"n{number}" for number in range(100)), version="x" * 100_000)
    await client.subscribe(type_url)
    await client.read_until(type_url, room.world[type_url])
    assert 2 < len(client.received) < 20
    assert await client.rest() == []


@pytest.mark.parametrize("pair", [(CLUSTER, LISTENER), (ROUTE, ENDPOINT)], ids=["CDS and LDS", "RDS and EDS"])
async def test_several_types_on_one_stream(room, connect, is_delta, pair):
    first, second = pair
    client = connect(delta=is_delta)
    for type_url in pair:
        room.put(type_url, "A", "B", "C")
        await client.subscribe(type_url, "B")
        await client.read_until(type_url, held("B"))
    room.put(first, "B", version="2")
    said = await client.read()
    assert (said.type_url, said.resources) == (first, {"B": "2"})
    assert client.held[second] == held("B")
    assert await client.rest() == []
