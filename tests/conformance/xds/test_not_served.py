"""XDS#knowing-when-a-requested-resource-does-not-exist, of types and names that are never there; requests without a
type; and the nonces that all types of a stream share."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from scenes.xds import ALL, PATIENCE

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.ended import FILTER_NAME
from sidecar.xds.types import CLUSTER, EXTENSION, LISTENER

OTHERS = [
    "type.googleapis.com/envoy.service.runtime.v3.Runtime",
    "type.googleapis.com/envoy.config.route.v3.VirtualHost",
    "type.googleapis.com/nonsense.Type",
    "nonsense",
]


@pytest.mark.parametrize("is_delta", [True, False], ids=["delta", "state of the world"])
async def test_an_aggregated_stream_must_be_told_the_type(connect, is_delta):
    """As go-control-plane has it: "type URL is required for ADS"."""
    client = connect(delta=is_delta)
    kind = wire.DeltaDiscoveryRequest if is_delta else wire.DiscoveryRequest
    await client.send(kind(node=wire.Node(id="n")))
    async with asyncio.timeout(PATIENCE):
        assert await client._call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "type_url" in await client._call.details()


@pytest.mark.parametrize("type_url", OTHERS)
class TestOtherTypes:
    async def test_a_name_is_answered_as_removed(self, room, delta, type_url):
        await delta.subscribe(type_url, "A", "B", "A")
        said = await delta.read()
        assert (said.type_url, said.resources, said.removed) == (type_url, {}, ("A", "B"))
        await delta.subscribe(type_url, "A")
        assert (await delta.read()).removed == ("A",)
        assert await delta.rest() == []

    async def test_a_rejection_of_that_is_no_loop(self, room, delta, type_url):
        await delta.subscribe(type_url, "A")
        await delta.reject(await delta.read(acknowledge=False))
        await delta.unsubscribe(type_url, "A", "never")
        assert await delta.rest() == []

    @pytest.mark.parametrize("how", [[], ["*"]], ids=["as of old", "explicit"])
    async def test_of_all_nothing_is_said(self, room, delta, type_url, how):
        """It would be taken for: there is nothing of this type."""
        await delta.subscribe(type_url, *how, initial_resource_versions={"A": "1"})
        assert await delta.rest() == []

    async def test_in_state_of_the_world_nothing_is_said(self, room, world, type_url):
        await world.list(type_url, ["A"])
        await world.list(type_url, [])
        room.put(LISTENER, "A")
        await world.list(LISTENER, [])
        assert (await world.read()).type_url == LISTENER
        assert await world.rest() == []

    async def test_a_service_for_one_type_says_nothing_of_it(self, room, connect, type_url):
        for only in ALL:
            client = connect(delta=True, only=only)
            await client.subscribe(type_url, "A")
            assert await client.rest() == []


async def test_so_many_types_as_a_client_makes_up(room, delta):
    for number in range(500):
        await delta.subscribe(f"made up/{number}", "A")
    answered = {(await delta.read()).type_url for _ in range(500)}
    assert answered == {f"made up/{number}" for number in range(500)}
    (stream,) = room.service.envoys
    assert not stream._receivers, "nothing is kept of them"


class TestFilter:
    async def test_another_name_is_answered_as_removed(self, room, delta):
        await delta.subscribe(EXTENSION, "other", FILTER_NAME)
        assert (await delta.read()).removed == ("other",)
        assert await delta.rest() == []

    async def test_before_the_list_is_whole_nothing_is_said_of_it(self, room, delta):
        """That it is not known yet does not mean that there is none."""
        await delta.subscribe(EXTENSION, FILTER_NAME)
        await room.seen(delta)
        room.service._ended.add({})
        response = await read_raw(delta)
        assert [resource.name for resource in response.resources] == [FILTER_NAME]

    async def test_its_nonces_are_of_the_stream(self, room, delta):
        """XDS#basic-protocol-overview; some clients mix the types up."""
        room.service._ended.add({})
        nonces = []
        for type_url, name in ((EXTENSION, FILTER_NAME), (CLUSTER, "A"), (LISTENER, "A"), (OTHERS[0], "A")):
            await delta.subscribe(type_url, name)
            nonces.append((await read_raw(delta)).nonce)
        assert len(set(nonces)) == len(nonces)


async def read_raw(client) -> wire.DeltaDiscoveryResponse:
    """Its resources are none of the scenes'."""
    async with asyncio.timeout(PATIENCE):
        return wire.DeltaDiscoveryResponse.FromString(await client._call.read())
