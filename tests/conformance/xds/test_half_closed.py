"""A client that says no more, and reads: `grpcurl -d` sends one request, ends its side, and prints what comes."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from scenes.xds import PATIENCE, encoded, until

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import patience
from sidecar.xds.resolver import Later, Served
from sidecar.xds.types import CLUSTER, EXTENSION, LISTENER, NAMES, ROUTE, SECRET


@pytest.fixture(autouse=True)
def unforgiving(monkeypatch):
    """What comes does not come because acknowledgements are no longer waited for."""
    monkeypatch.setattr(patience, "ACK_PATIENCE", 3600.0)


@pytest.mark.parametrize("count", [2, 100, 700])
@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER, ROUTE], ids=lambda type_url: NAMES[type_url])
@pytest.mark.parametrize("is_delta", [True, False], ids=["delta", "state of the world"])
@pytest.mark.parametrize("only", [False, True], ids=["aggregated", "separate"])
async def test_all_that_was_asked_for_comes_before_the_end(room, connect, only, is_delta, type_url, count):
    names = [f"n{number}" for number in range(count)]
    room.put(type_url, *names)
    client = connect(delta=is_delta, only=type_url if only else None)
    await client.subscribe(type_url, *names)
    said = await client.rest()
    assert client.held[type_url] == dict.fromkeys(names, "1")
    assert sum(len(one.resources) for one in said) == count, "once each"


async def test_what_it_was_sent_and_has_not_acknowledged_is_not_sent_again(room, delta):
    names = [f"n{number}" for number in range(300)]
    room.put(ROUTE, *names)
    await delta.subscribe(ROUTE, *names)
    for _ in range(10):
        await delta.read(acknowledge=False)
    await delta.rest()
    assert sum(len(said.resources) for said in delta.received) == 300


async def test_missing_names_and_secrets_that_must_be_looked_for_are_answered(room, delta):
    await delta.subscribe(ROUTE, "Z")
    hosts = [f"{number}.brand.test" for number in range(20)]
    await delta.subscribe(SECRET, *hosts)
    await delta.rest()
    removed = {
        type_url: [name for said in delta.received if said.type_url == type_url for name in said.removed]
        for type_url in (ROUTE, SECRET)
    }
    assert removed[ROUTE] == ["Z"]
    assert sorted(removed[SECRET]) == sorted(hosts)


async def test_a_secret_that_is_being_loaded_is_waited_for(room, delta, monkeypatch):
    loading, loaded = asyncio.Event(), asyncio.Event()

    async def load(name: str, held: str | None) -> Served:
        loading.set()
        await loaded.wait()
        return Served("1", wire.Any(type_url=SECRET, value=encoded(SECRET, name).resource).SerializeToString())

    monkeypatch.setattr(room.service._resolver, "resolve", lambda name, held: Later.LOAD)
    monkeypatch.setattr(room.service._resolver, "load", load)
    await delta.subscribe(SECRET, "shop.example.com")
    await delta._call.done_writing()
    async with asyncio.timeout(PATIENCE):
        await loading.wait()
        (stream,) = room.service.envoys
        await asyncio.sleep(0.05)
        assert list(room.service.envoys) == [stream]
        loaded.set()
        response = wire.DeltaDiscoveryResponse.FromString(await delta._call.read())
        assert [resource.name for resource in response.resources] == ["shop.example.com"]
        assert await delta._call.read() is grpc.aio.EOF
        assert await delta._call.code() is grpc.StatusCode.OK


async def test_a_sidecar_that_stops_does_not_wait_for_that(room, delta, monkeypatch):
    loading = asyncio.Event()

    async def load(name: str, held: str | None) -> Served:
        loading.set()
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(room.service._resolver, "resolve", lambda name, held: Later.LOAD)
    monkeypatch.setattr(room.service._resolver, "load", load)
    await delta.subscribe(SECRET, "shop.example.com")
    await delta._call.done_writing()
    async with asyncio.timeout(PATIENCE):
        await loading.wait()
        room.service.close()
        assert await delta._call.read() is grpc.aio.EOF
    await until(lambda: not len(room.service.envoys))


async def test_what_goes_meanwhile_goes(room, delta):
    room.put(CLUSTER, "A", "B")
    room.put(LISTENER, "L")
    for type_url in (CLUSTER, LISTENER):
        await delta.subscribe(type_url)
        await delta.read_until(type_url, room.world[type_url])
    await room.seen(delta)
    room.world[CLUSTER], room.world[LISTENER] = {"B": "1"}, {"L": "2"}
    room.tell(CLUSTER, LISTENER)
    await delta.rest()
    assert (delta.held[CLUSTER], delta.held[LISTENER]) == ({"B": "1"}, {"L": "2"})


async def test_a_type_that_is_not_known_yet_is_not_waited_for(room, delta):
    room.table._types.clear()
    await delta.subscribe(CLUSTER)
    await delta.subscribe(EXTENSION, "nameplate.ended")
    assert await delta.rest() == []


async def test_the_end_after_everything_was_acknowledged_is_the_end(room, connect):
    for is_delta in (True, False):
        client = connect(delta=is_delta)
        room.put(LISTENER, "A")
        await client.subscribe(LISTENER)
        await client.read()
        assert await client.rest() == []


async def test_a_request_of_nothing_ends_at_once(connect):
    for is_delta in (True, False):
        assert await connect(delta=is_delta).rest() == []
