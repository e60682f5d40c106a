"""XDS#incremental-xds: a client that comes back says what it has, and hears of nothing else."""

from __future__ import annotations

import gc
import weakref

import pytest
from scenes.xds import until

from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, NAMES, ROUTE, SECRET, WHOLE


@pytest.fixture(params=[CLUSTER, LISTENER, ROUTE], ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


@pytest.mark.parametrize("how", [[], ["*"]], ids=["as of old", "explicit"])
async def test_under_a_wildcard_only_what_is_another_comes_and_what_has_gone_is_said_once(room, delta, type_url, how):
    room.put(type_url, "same", "changed", "new")
    await delta.subscribe(
        type_url, *how, initial_resource_versions={"same": "1", "changed": "0", "gone": "1", "gone too": "9"}
    )
    said = [await delta.read() for _ in range(2 if type_url in WHOLE else 3)]
    assert {name for answer in said for name in answer.resources} == {"changed", "new"}
    assert sorted(name for answer in said for name in answer.removed) == ["gone", "gone too"]
    room.tell(type_url)
    assert await delta.rest() == []


async def test_by_name_too(room, delta, type_url):
    room.put(type_url, "same", "changed")
    await delta.subscribe(
        type_url,
        "same",
        "changed",
        "gone",
        initial_resource_versions={"same": "1", "changed": "0", "gone": "1", "not asked for": "1"},
    )
    said = [await delta.read(), await delta.read()]
    assert {name for answer in said for name in answer.resources} == {"changed"}
    assert [name for answer in said for name in answer.removed] == ["gone"]
    assert await delta.rest() == []


async def test_with_nothing_changed_nothing_is_said(room, delta):
    names = [f"n{number}" for number in range(1000)]
    for type_url in (CLUSTER, LISTENER, ROUTE):
        room.put(type_url, *names)
    for type_url in (CLUSTER, LISTENER):
        await delta.subscribe(type_url, initial_resource_versions=dict.fromkeys(names, "1"))
    await delta.subscribe(ROUTE, *names, initial_resource_versions=dict.fromkeys(names, "1"))
    assert await delta.rest() == []
    assert room.service.by_type[CLUSTER].sent == room.service.by_type[LISTENER].sent == 0


async def test_everything_gone_is_said_once_and_nothing_else(room, delta, type_url):
    await delta.subscribe(type_url, initial_resource_versions={"A": "1", "B": "1"})
    assert sorted((await delta.read()).removed) == ["A", "B"]
    assert await delta.rest() == []


async def test_versions_count_in_the_first_request_only(room, delta, type_url):
    room.put(type_url, "A", "B")
    await delta.subscribe(type_url, "A")
    await delta.read()
    await delta.subscribe(type_url, "B", initial_resource_versions={"B": "1"})
    assert (await delta.read()).resources == {"B": "1"}


async def test_each_type_has_a_first_request_of_its_own(room, delta):
    room.put(CLUSTER, "A")
    room.put(LISTENER, "A")
    await delta.subscribe(CLUSTER, initial_resource_versions={"A": "1"})
    await delta.subscribe(LISTENER, initial_resource_versions={"A": "0"})
    said = await delta.read()
    assert (said.type_url, said.resources) == (LISTENER, {"A": "1"})
    assert await delta.rest() == []


async def test_what_was_known_before_and_never_asked_is_changed_by_the_wildcard_only(room, delta):
    """Envoy says the versions of what it holds from a wildcard beside the names that it subscribes."""
    room.put(CLUSTER, "A", "B")
    await delta.subscribe(CLUSTER, "*", "A", initial_resource_versions={"A": "1", "B": "0", "C": "1"})
    said = [await delta.read(), await delta.read()]
    assert [answer.resources for answer in said if answer.resources] == [{"B": "1"}]
    assert [answer.removed for answer in said if answer.removed] == [("C",)]
    assert await delta.rest() == []


async def test_a_stream_knows_nothing_of_the_one_before(room, connect):
    room.put(LISTENER, "A")
    for _ in range(2):
        client = connect(delta=True)
        await client.subscribe(LISTENER)
        assert (await client.read()).resources == {"A": "1"}
        assert await client.rest() == []


async def test_before_the_resources_are_known_nothing_is_taken_away(room, delta):
    """A sidecar that was started again has nothing until it has read the edge."""
    room.table._types.clear()
    await delta.subscribe(CLUSTER, initial_resource_versions={"A": "1"})
    await delta.subscribe(ENDPOINT, "B")
    room.world[ENDPOINT] = {"B": "1"}
    room.tell(ENDPOINT)
    assert (await delta.read()).resources == {"B": "1"}
    room.world[CLUSTER] = {"A": "1"}
    room.tell(CLUSTER)
    assert await delta.rest() == []


async def test_in_state_of_the_world_what_a_client_has_from_before_is_not_known(room, connect):
    """So after a rejection the next set is said, though it is empty, as the client was told nothing that it took."""
    room.put(CLUSTER, "A", version="bad")
    client = connect(delta=False)
    await client.subscribe(CLUSTER)
    await client.reject(await client.read(acknowledge=False))
    await room.rejected(CLUSTER, {"A": ("bad", "no")})
    room.remove(CLUSTER, "A")
    assert (await client.read()).resources == {}
    assert await client.rest() == []


async def test_a_stream_that_has_ended_is_freed_at_once(room, delta, type_url):
    """Not by the next full collection, which would stop the loop for longer the more of them wait for it."""
    await delta.subscribe(type_url, "A")
    await delta.subscribe(SECRET, "shop.example.com")
    await room.seen(delta)
    (stream,) = room.service.envoys
    parts = [weakref.ref(stream), weakref.ref(stream._secrets), weakref.ref(stream._secrets._subscription)]
    del stream
    gc.collect()
    gc.disable()
    try:
        delta.close()
        await until(lambda: not list(room.service.envoys))
        await until(lambda: not any(part() for part in parts))
    finally:
        gc.enable()
