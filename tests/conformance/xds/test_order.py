"""XDS#eventual-consistency-considerations: make before break, on one stream."""

from __future__ import annotations

import pytest
from scenes.xds import ALL, DeltaClient, until

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


async def watching(client, room, *type_urls: str) -> None:
    """Whatever there is of them, by their wildcards; it has what there is now."""
    for type_url in type_urls:
        await client.subscribe(type_url)
    for type_url in type_urls:
        await client.read_until(type_url, room.world[type_url])


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
    await watching(client, room, CLUSTER, LISTENER)
    await room.seen(client)
    room.world[CLUSTER] = {f"n{number}": "1" for number in range(300)} | {"C": "1"}
    room.world[LISTENER] = {"L": "2"}
    room.tell(LISTENER, CLUSTER)
    await client.read_until(LISTENER, {"L": "2"})
    assert client.held[CLUSTER] == room.world[CLUSTER]


async def test_clusters_that_are_not_acknowledged_hold_nothing_else_up(room, delta, monkeypatch):
    """Envoy acknowledges none as long as one of them has not been found to be healthy."""
    monkeypatch.setattr(patience, "ACK_PATIENCE", 60.0)
    room.put(ROUTE, "R")
    await delta.subscribe(CLUSTER)
    await delta.read()
    await delta.subscribe(ROUTE, "R")
    await delta.read()
    for version in range(2, 10):
        for number in range(100):
            room.world[CLUSTER][f"n{number}"] = str(version)
        room.world[ROUTE] = {"R": str(version)}
        room.tell(CLUSTER, ROUTE)
        while (said := await delta.read(acknowledge=False)).type_url == CLUSTER:
            pass
        await delta.acknowledge(said)
        assert delta.held == {CLUSTER: room.world[CLUSTER], ROUTE: room.world[ROUTE]}
    assert await delta.rest() == []


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


@pytest.mark.parametrize("referring", [LISTENER, ROUTE], ids=["a listener", "a route"])
async def test_while_a_client_rejects_what_comes_after_it_it_keeps_the_cluster(room, client, referring):
    """Which the earlier version that it goes on with may refer to."""
    room.put(CLUSTER, "old")
    room.put(referring, "R")
    await client.subscribe(CLUSTER)
    await client.subscribe(referring, "R")
    await client.read_until(CLUSTER, {"old": "1"})
    await client.read_until(referring, {"R": "1"})
    await room.seen(client)
    room.world[CLUSTER], room.world[referring] = {}, {"R": "2"}
    room.tell(CLUSTER, referring)
    room.service.envoys.mark(1)
    said = await client.read(acknowledge=False)
    assert said.type_url == referring
    await client.reject(said)
    await room.rejected(referring, {"R": ("2", "no")})
    # It has had its say: nobody waits for more.
    await until(lambda: room.service.envoys.acknowledged() == (1,))
    room.put(ENDPOINT, "nobody's")
    room.put(CLUSTER, "other")
    said = await client.read()
    assert (said.type_url, said.removed) == (CLUSTER, ())
    assert client.held[CLUSTER] == {"old": "1", "other": "1"}
    room.put(referring, "R", version="3")
    assert (await client.read()).resources == {"R": "3"}
    assert (await client.read()).type_url == CLUSTER
    assert client.held[CLUSTER] == {"other": "1"}
    assert await client.rest() == []


async def test_what_was_rejected_from_the_first_has_no_earlier_version_that_may_need_the_cluster(room, delta):
    """As a listener whose port is taken."""
    room.put(CLUSTER, "old")
    room.put(LISTENER, "L")
    await delta.subscribe(CLUSTER)
    await delta.subscribe(LISTENER)
    await delta.read_until(CLUSTER, {"old": "1"})
    await delta.reject(await delta.read(acknowledge=False))
    await room.rejected(LISTENER, {"L": ("1", "no")})
    room.remove(CLUSTER, "old")
    assert (await delta.read()).removed == ("old",)
    assert await delta.rest() == []


async def test_endpoints_are_taken_away_after_what_may_refer_to_them(room, delta):
    for type_url in ALL:
        room.put(type_url, "old")
    await subscribed(delta, room, *ALL)
    for type_url in ALL:
        room.world[type_url] = {"old": "2"} if type_url == LISTENER else {}
    room.tell(*ALL)
    order = [(said.type_url, said.removed) for said in [await delta.read() for _ in range(4)]]
    assert order == [(LISTENER, ()), (ROUTE, ("old",)), (CLUSTER, ("old",)), (ENDPOINT, ("old",))]
    assert await delta.rest() == []


async def test_with_a_cluster_that_is_leaving_the_set_has_another_version_than_without(room, world):
    room.put(CLUSTER, "old")
    room.put(LISTENER, "L")
    await watching(world, room, CLUSTER, LISTENER)
    room.world[CLUSTER], room.world[LISTENER] = {"new": "1"}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    await world.read_until(CLUSTER, {"new": "1"})
    sets = {said.whole: said.resources for said in world.received if said.type_url == CLUSTER}
    assert list(sets.values()) == [{"old": "1"}, {"old": "1", "new": "1"}, {"new": "1"}]
    room.world[CLUSTER] = {"old": "1"}
    room.tell(CLUSTER)
    await world.read_until(CLUSTER, {"old": "1"})
    assert world.received[-1].whole == world.received[0].whole


async def test_a_client_that_does_not_acknowledge_loses_the_cluster_all_the_same(room, client, monkeypatch):
    monkeypatch.setattr(patience, "ACK_PATIENCE", 0.05)
    room.put(CLUSTER, "old")
    room.put(LISTENER, "L")
    await watching(client, room, CLUSTER, LISTENER)
    room.world[CLUSTER], room.world[LISTENER] = {}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    assert (await client.read(acknowledge=False)).type_url == LISTENER
    await client.read(acknowledge=False)
    assert client.held[CLUSTER] == {}


async def test_a_cluster_that_comes_back_meanwhile_is_not_taken_away(room, client):
    room.put(CLUSTER, "old", "other")
    room.put(LISTENER, "L")
    await watching(client, room, CLUSTER, LISTENER)
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
