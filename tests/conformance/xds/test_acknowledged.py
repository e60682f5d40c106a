"""How far clients have followed: what the API's proof of propagation is made of."""

from __future__ import annotations

import asyncio

import pytest
from scenes import xds
from scenes.xds import PATIENCE, DeltaClient, until

from sidecar.xds import patience
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, NAMES, ROUTE, SECRET


@pytest.fixture(params=[True, False], ids=["delta", "state of the world"])
def client(connect, request):
    return connect(delta=request.param)


@pytest.fixture(params=[CLUSTER, LISTENER, ROUTE], ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


async def reached(room, *expected: int) -> None:
    await until(lambda: sorted(room.service.envoys.acknowledged()) == sorted(expected))


async def test_a_change_is_reached_when_it_was_acknowledged(room, client, type_url):
    room.put(type_url, "A", "B")
    room.service.envoys.mark(1)
    assert room.service.envoys.acknowledged() == ()
    await client.subscribe(type_url, "A", "B")
    await client.read_until(type_url, {"A": "1", "B": "1"})
    await reached(room, 1)
    room.put(type_url, "A", version="2")
    room.service.envoys.mark(2)
    assert room.service.envoys.acknowledged() == (1,)
    said = await client.read(acknowledge=False)
    await room.seen(client)
    assert room.service.envoys.acknowledged() == (1,)
    assert room.service.stats()["envoys_behind"] == 1
    await client.acknowledge(said)
    await reached(room, 2)
    assert (room.service.stats()["envoys"], room.service.stats()["envoys_behind"]) == (1, 0)


async def test_what_does_not_concern_a_client_it_has_reached_at_once(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.read()
    await room.seen(client)
    room.put(type_url, "B")
    room.put(ENDPOINT, "A")
    room.service.envoys.mark(7)
    assert room.service.envoys.acknowledged() == (7,)


async def test_a_rejection_is_a_last_word_too(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.read()
    await room.seen(client)
    room.put(type_url, "A", version="2")
    room.service.envoys.mark(2)
    await client.reject(await client.read(acknowledge=False))
    await reached(room, 2)


async def test_of_two_changes_the_acknowledgement_of_the_first_is_not_enough(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.read()
    await room.seen(client)
    room.put(type_url, "A", version="2")
    room.service.envoys.mark(1)
    said = await client.read(acknowledge=False)
    room.put(type_url, "A", version="3")
    room.service.envoys.mark(2)
    await client.acknowledge(said)
    said = await client.read(acknowledge=False)
    assert said.resources == {"A": "3"}
    assert room.service.envoys.acknowledged() == (0,)
    await client.acknowledge(said)
    await reached(room, 2)


async def test_a_change_back_to_what_the_client_has_is_reached(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.read()
    await room.seen(client)
    room.put(type_url, "A", version="2")
    room.put(type_url, "A", version="1")
    room.service.envoys.mark(3)
    await reached(room, 3)
    assert await client.rest() == []


async def test_a_name_that_is_dropped_is_owed_no_more(room, delta, type_url):
    room.put(type_url, "A", "B")
    await delta.subscribe(type_url, "A", "B")
    await delta.read_until(type_url, {"A": "1", "B": "1"})
    await room.seen(delta)
    room.put(type_url, "A", version="2")
    room.service.envoys.mark(1)
    await delta.read(acknowledge=False)
    await delta.unsubscribe(type_url, "A")
    await reached(room, 1)


async def test_an_acknowledgement_that_comes_late_counts(room, client, type_url, monkeypatch):
    """After it is no longer waited for."""
    monkeypatch.setattr(patience, "ACK_PATIENCE", 0.05)
    names = [f"n{number}" for number in range(100 if isinstance(client, DeltaClient) else 4)]
    room.put(type_url, *names)
    await client.subscribe(type_url, *names)
    said = []
    while sum(len(answer.resources) for answer in said) < len(names):
        said.append(await client.read(acknowledge=False))
    room.service.envoys.mark(1)
    for answer in said:
        await client.acknowledge(answer)
    await room.seen(client)
    room.put(type_url, *names, version="2")
    room.service.envoys.mark(2)
    await client.read_until(type_url, dict.fromkeys(names, "2"))
    await reached(room, 2)


async def test_a_client_that_comes_back_with_old_versions_has_reached_nothing_yet(room, delta, type_url):
    room.put(type_url, "A", "B", version="2")
    room.service.envoys.mark(5)
    await delta.subscribe(type_url, "A", "B", initial_resource_versions={"A": "1", "B": "2"})
    said = await delta.read(acknowledge=False)
    assert said.resources == {"A": "2"}
    assert room.service.envoys.acknowledged() == (0,)
    await delta.acknowledge(said)
    await reached(room, 5)


async def test_a_cluster_that_has_gone_is_owed_until_it_is_taken_away(room, delta):
    room.put(CLUSTER, "A")
    room.put(LISTENER, "L")
    for type_url in (CLUSTER, LISTENER):
        await delta.subscribe(type_url)
        await delta.read()
    await room.seen(delta)
    room.world[CLUSTER], room.world[LISTENER] = {}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    room.service.envoys.mark(1)
    assert (await delta.read()).type_url == LISTENER
    said = await delta.read(acknowledge=False)
    assert said.removed == ("A",)
    assert room.service.envoys.acknowledged() == (0,)
    await delta.acknowledge(said)
    await reached(room, 1)


async def test_what_is_still_being_built_nobody_has_reached(room, client, type_url):
    room.put(type_url, "A")
    room.service.envoys.mark(1)
    await client.subscribe(type_url, "A")
    await client.read()
    await reached(room, 1)
    room.table.hold()
    room.service.envoys.mark(2)
    room.service.envoys.mark(3)
    assert room.service.envoys.acknowledged() == (1,)
    room.put(type_url, "A", version="2")
    said = await client.read(acknowledge=False)
    assert room.service.envoys.acknowledged() == (1,)
    await client.acknowledge(said)
    await reached(room, 3)
    room.table.hold()
    room.service.envoys.mark(4)
    room.table.replace({})
    assert room.service.envoys.acknowledged() == (4,)


async def test_each_connection_counts_once_by_its_slowest_stream(room):
    room.put(LISTENER, "A")
    room.put(CLUSTER, "A")
    async with room.channel() as channel, room.channel() as other:
        clusters = xds.client(channel, delta=True, only=CLUSTER)
        listeners = xds.client(channel, delta=False, only=LISTENER)
        alone = xds.client(other, delta=True)
        for client, type_url in ((clusters, CLUSTER), (listeners, LISTENER), (alone, LISTENER)):
            await client.subscribe(type_url)
            await client.read()
        room.service.envoys.mark(1)
        await reached(room, 1, 1)
        room.put(LISTENER, "A", version="2")
        room.service.envoys.mark(2)
        await alone.read()
        await reached(room, 1, 2)
        await listeners.read()
        await reached(room, 2, 2)
        for client in (clusters, listeners, alone):
            client.close()
    await reached(room)


async def test_progress_is_told_when_a_client_comes_moves_and_goes(room, delta):
    told = asyncio.Event()
    room.service.envoys.on_progress = told.set
    room.service.envoys.mark(1)
    room.put(LISTENER, "A")
    await delta.subscribe(LISTENER)
    await happens(told)
    await delta.read()
    await reached(room, 1)
    room.put(LISTENER, "A", version="2")
    room.service.envoys.mark(2)
    told.clear()
    said = await delta.read(acknowledge=False)
    assert not told.is_set()
    await delta.acknowledge(said)
    await happens(told)
    told.clear()
    delta.close()
    await happens(told)


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def test_secrets_that_cannot_be_had_are_not_reached(room, delta):
    """Vault is away: an Envoy that has an older certificate has not got the newer one."""
    room.service.envoys.mark(1)
    await delta.subscribe(SECRET, "default", initial_resource_versions={"default": "older"})
    await room.seen(delta)
    assert room.service.envoys.acknowledged() == (0,)
    await delta.unsubscribe(SECRET, "default")
    await reached(room, 1)
