"""XDS#eventual-consistency-considerations: make before break, on one stream."""

from __future__ import annotations

import pytest
from scenes.xds import ALL, DeltaClient

from sidecar.xds import patience
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE


@pytest.fixture(params=[True, False], ids=["delta", "state of the world"])
def client(connect, request):
    return connect(delta=request.param)


async def subscribed(client, room, *type_urls: str) -> None:
    """To all that there is now; in the order that is the worst."""
    for type_url in reversed(type_urls):
        await client.subscribe(type_url, *room.world[type_url])
    for type_url in type_urls:
        await client.read_until(type_url, room.world[type_url])
    await room.seen(client)


async def test_what_changes_at_once_comes_in_order(room, client):
    for type_url in ALL:
        room.put(type_url, "A", "B")
    await subscribed(client, room, *ALL)
    for type_url in ALL:
        room.world[type_url] = {"A": "2", "B": "2"}
    room.tell(ROUTE, LISTENER, ENDPOINT, CLUSTER)
    before = len(client.received)
    for type_url in ALL:
        await client.read_until(type_url, {"A": "2", "B": "2"})
    order = [ALL.index(said.type_url) for said in client.received[before:]]
    assert order == sorted(order)


async def test_more_clusters_than_a_client_is_sent_at_once_come_before_listeners(room, client):
    room.put(LISTENER, "L")
    room.put(CLUSTER, "C")
    await client.subscribe(CLUSTER)
    await client.subscribe(LISTENER)
    await client.read_until(CLUSTER, {"C": "1"})
    await client.read_until(LISTENER, {"L": "1"})
    await room.seen(client)
    room.world[CLUSTER] = {f"n{number}": "1" for number in range(300)} | {"C": "1"}
    room.world[LISTENER] = {"L": "2"}
    room.tell(LISTENER, CLUSTER)
    await client.read_until(LISTENER, {"L": "2"})
    assert client.held[CLUSTER] == room.world[CLUSTER]


@pytest.mark.parametrize("referring", [LISTENER, ROUTE], ids=["a listener", "a route"])
async def test_a_cluster_is_taken_away_when_what_may_refer_to_it_was_acknowledged(room, client, referring):
    room.put(CLUSTER, "old")
    room.put(referring, "R")
    for type_url in (CLUSTER, referring):
        await client.subscribe(type_url, *["*"][: type_url != ROUTE], *["R"][: type_url == ROUTE])
        await client.read_until(type_url, room.world[type_url])
    await room.seen(client)
    room.world[CLUSTER] = {"new": "1"}
    room.world[referring] = {"R": "2"}
    room.tell(CLUSTER, referring)
    said = await client.read()
    assert "new" in said.resources
    assert client.held[CLUSTER] == {"old": "1", "new": "1"}
    said = await client.read(acknowledge=False)
    assert (said.type_url, said.resources) == (referring, {"R": "2"})
    (stream,) = room.service.envoys
    await room.seen(client)
    assert not stream.waiting
    await client.acknowledge(said)
    said = await client.read()
    assert said.type_url == CLUSTER
    assert client.held[CLUSTER] == {"new": "1"}
    assert await client.rest() == []


async def test_a_rejection_is_as_good_as_an_acknowledgement(room, client):
    room.put(CLUSTER, "old")
    room.put(LISTENER, "L")
    await client.subscribe(CLUSTER)
    await client.subscribe(LISTENER)
    await client.read_until(CLUSTER, {"old": "1"})
    await client.read_until(LISTENER, {"L": "1"})
    await room.seen(client)
    room.world[CLUSTER], room.world[LISTENER] = {}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    said = await client.read(acknowledge=False)
    assert said.type_url == LISTENER
    await client.reject(said)
    await client.read()
    assert client.held[CLUSTER] == {}


async def test_a_client_that_does_not_acknowledge_loses_the_cluster_all_the_same(room, client, monkeypatch):
    monkeypatch.setattr(patience, "ACK_PATIENCE", 0.05)
    room.put(CLUSTER, "old")
    room.put(LISTENER, "L")
    await client.subscribe(CLUSTER)
    await client.subscribe(LISTENER)
    await client.read_until(CLUSTER, {"old": "1"})
    await client.read_until(LISTENER, {"L": "1"})
    room.world[CLUSTER], room.world[LISTENER] = {}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    assert (await client.read(acknowledge=False)).type_url == LISTENER
    await client.read(acknowledge=False)
    assert client.held[CLUSTER] == {}


async def test_a_cluster_that_comes_back_meanwhile_is_not_taken_away(room, client):
    room.put(CLUSTER, "old", "other")
    room.put(LISTENER, "L")
    await client.subscribe(CLUSTER)
    await client.subscribe(LISTENER)
    await client.read_until(CLUSTER, {"old": "1", "other": "1"})
    await client.read_until(LISTENER, {"L": "1"})
    await room.seen(client)
    room.world[CLUSTER], room.world[LISTENER] = {"other": "1"}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    said = await client.read(acknowledge=False)
    assert said.type_url == LISTENER
    room.put(CLUSTER, "old")
    await client.acknowledge(said)
    assert await client.rest() == []
    assert client.held[CLUSTER] == {"old": "1", "other": "1"}


async def test_alone_it_is_taken_away_at_once(room, client):
    room.put(CLUSTER, "A", "B")
    await client.subscribe(CLUSTER)
    await client.read_until(CLUSTER, {"A": "1", "B": "1"})
    room.remove(CLUSTER, "A", "B")
    await client.read()
    assert client.held[CLUSTER] == {}
    assert await client.rest() == []


async def test_a_cluster_that_a_client_asks_for_and_nobody_has_is_answered_at_once(room, connect):
    client = connect(delta=True)
    assert isinstance(client, DeltaClient)
    room.put(LISTENER, "L")
    await client.subscribe(LISTENER)
    await client.read(acknowledge=False)
    await client.subscribe(CLUSTER, "nobody's")
    assert (await client.read()).removed == ("nobody's",)


async def test_many_clusters_go_in_slices(room, connect):
    client = connect(delta=True)
    names = [f"n{number}" for number in range(1200)]
    room.put(CLUSTER, *names)
    await client.subscribe(CLUSTER)
    await client.read_until(CLUSTER, dict.fromkeys(names, "1"))
    room.remove(CLUSTER, *names)
    before = len(client.received)
    await client.read_until(CLUSTER, {})
    assert len(client.received) - before == 3
