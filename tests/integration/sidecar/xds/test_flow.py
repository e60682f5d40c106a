"""How much is said at once on a delta stream, and in which order, to a client that is slow or asks for much."""

from __future__ import annotations

import time

from scenes.secrets import PLATFORM

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.patience import ACK_PATIENCE
from sidecar.xds.stream import SLICE


async def test_many_removals_come_in_slices(room, client):
    names = [f"n{number}.brand.test" for number in range(3 * SLICE)]
    await client.subscribe(*names)
    removed: list[str] = []
    while len(removed) < len(names):
        said = await client.read()
        assert len(said.removed) <= SLICE
        removed += said.removed
    assert removed == names


async def test_a_client_that_does_not_read_holds_up_names_and_not_messages(room, client):
    """2,000 secrets wait to be read; meanwhile each changes ten times."""
    await room.store_platform()
    names = [f"n{number}.{PLATFORM}" for number in range(2000)]
    for number in range(2000):
        room.add_platform(f"n{number}")
    await client.subscribe(*names)
    first = await client.read(acknowledge=False)
    for _ in range(10):
        await room.store_platform()
        await room.platform.look()
    (stream,) = room.service._streams
    assert len(stream._waiting.asked) + len(stream._waiting.changed) <= 2 * len(names)
    assert not len(stream._settling.loads)
    newest = room.platform.current.version
    await client.read_until(lambda: len(client.held) == 2000 and set(client.held.values()) == {newest})
    assert first.served
    # Of 22,000 that a queue of messages would hold. The transport takes some MB before it says no: 2,000 to 4,000.
    assert len(client.received) < 8000


async def test_a_client_that_does_not_acknowledge_waits_a_while_and_is_served_all_the_same(room, client):
    names = [f"n{number}.brand.test" for number in range(2 * SLICE)]
    await client.subscribe(*names)
    assert len((await client.read(acknowledge=False)).removed) == SLICE
    started = time.monotonic()
    assert len((await client.read(acknowledge=False)).removed) == SLICE
    assert 0.5 * ACK_PATIENCE < time.monotonic() - started < 2 * ACK_PATIENCE


async def test_a_name_asked_for_goes_before_names_that_changed(room, client):
    await room.store_platform()
    for number in range(1000):
        room.add_platform(f"n{number}")
    await client.subscribe(*(f"n{number}.{PLATFORM}" for number in range(1000)))
    await client.read_until(lambda: len(client.held) == 1000)
    await room.store_platform()
    await room.platform.look()
    await client.subscribe("nobody.test")
    before = len(client.received)
    await client.read_until(lambda: client.received[-1].removed == ("nobody.test",))
    assert len(client.received) - before < 500


async def test_a_message_with_very_many_names_is_taken(room, client):
    """An Envoy that comes back sends all its names at once; gRPC's own limit is 4 MB."""
    names = [f"{'x' * 60}.{'y' * 60}.n{number}.brand.test" for number in range(40_000)]
    request = wire.DeltaDiscoveryRequest(resource_names_subscribe=names)
    assert request.ByteSize() > 4 * 1024 * 1024
    await client.subscribe(*names)
    count = 0
    while count < len(names):
        count += len((await client.read()).removed)
    assert count == len(names)
