"""Clients that read nothing, or write without end: what the service keeps for them, and that others have their turn."""

from __future__ import annotations

import h2.settings
import pytest
from scenes.grpcfast import RawClient
from scenes.secrets import PLATFORM, SECRET_TYPE

from sidecar.grpcfast import Status
from sidecar.grpcfast.message import frame
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import methods as xds
from sidecar.xds.service import AT_ONCE
from sidecar.xds.subscription_delta import DELTA_WINDOW

DELTA = f"/{xds.AGGREGATED}/DeltaAggregatedResources"


def request(**fields: object) -> bytes:
    return frame(wire.DeltaDiscoveryRequest(type_url=SECRET_TYPE, **fields).SerializeToString())


def responses(data: bytes) -> list[wire.DeltaDiscoveryResponse]:
    """The whole ones."""
    found = []
    while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
        found.append(wire.DeltaDiscoveryResponse.FromString(data[5:end]))
        data = data[end:]
    return found


@pytest.fixture
async def names(room) -> list[str]:
    await room.store_platform()
    await room.platform.look()
    slugs = [f"n{number}" for number in range(500)]
    for slug in slugs:
        room.add_platform(slug)
    return [f"{slug}.{PLATFORM}" for slug in slugs]


async def test_for_a_client_that_never_reads_a_few_answers_are_made_whatever_it_asks_and_acknowledges(
    room, names, eventually
):
    async with RawClient.connect(room.socket, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
        stream = client.open(DELTA)
        client.send(stream, request(resource_names_subscribe=names))
        await client.flush()
        while client.answers[stream].headers is None:
            await client.step()
        size = 0
        for number in range(2000):
            name = f"more{number}.brand.test"
            more = request(resource_names_subscribe=[name], response_nonce=str(number))
            client.send(stream, more)
            size += len(more)
        await client.flush()
        await eventually(lambda: room.server.buffered == size)
        assert (room.service.counters.subscriptions, room.service.counters.served) == (len(names), DELTA_WINDOW)
        # Once it reads, it is told everything.
        client.h2.increment_flow_control_window(2**30, stream)
        client.h2.increment_flow_control_window(2**30)
        await client.flush()
        said: set[str] = set()
        seen = 0
        while len(said) < len(names) + 2000:
            await client.step()
            new = responses(client.answers[stream].data)[seen:]
            seen += len(new)
            for response in new:
                said.update(resource.name for resource in response.resources)
                said.update(response.removed_resources)
                client.send(stream, request(response_nonce=response.nonce))
            await client.flush()
        client.h2.end_stream(stream)
        assert (await client.answer(stream)).status == Status.OK
    assert room.server.buffered == 0


async def test_one_that_never_reads_does_not_hold_up_the_end_of_the_others(room, names, client):
    async with RawClient.connect(room.socket, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}) as stuck:
        stream = stuck.open(DELTA)
        stuck.send(stream, request(resource_names_subscribe=names))
        await stuck.flush()
        while stuck.answers[stream].headers is None:
            await stuck.step()
        await client.subscribe("nobody.test")
        await client.read()
        await room.stop()
        assert (await client.ended()).name == "OK"
    assert (room.server.connections, room.server.tasks, room.service.counters.streams) == (0, 0, 0)


async def test_of_requests_that_come_without_end_some_are_answered_before_more_are_read(room):
    async with RawClient.connect(room.socket) as client:
        stream = client.open(DELTA)
        wanted = [f"n{number}.brand.test" for number in range(4 * AT_ONCE)]
        for name in wanted:
            client.send(stream, request(resource_names_subscribe=[name]))
        await client.flush()
        removed: list[str] = []
        seen = 0
        while len(removed) < len(wanted):
            await client.step()
            new = responses(client.answers[stream].data)[seen:]
            seen += len(new)
            for response in new:
                assert len(response.removed_resources) <= AT_ONCE
                removed += response.removed_resources
                client.send(stream, request(response_nonce=response.nonce))
            await client.flush()
        assert removed == wanted
