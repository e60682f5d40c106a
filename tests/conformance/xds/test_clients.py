"""Many clients, and bad ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import grpc
import pytest
from scenes import xds
from scenes.xds import ALL, DeltaClient, until

from sidecar.http2 import LIMITS, Connection
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, NAMES, ROUTE, SECRET

CONFIGURED = (CLUSTER, LISTENER, ROUTE)


def put_some(room, count: int, version: str = "1") -> None:
    for type_url in CONFIGURED:
        room.world[type_url] = {f"n{number}": version for number in range(count)}
    room.tell(*CONFIGURED)


@pytest.mark.parametrize("is_delta", [True, False], ids=["delta", "state of the world"])
async def test_fifty_at_once_all_get_everything_and_every_change(room, connect, is_delta):
    put_some(room, 20)
    clients = [connect(delta=is_delta) for _ in range(50)]

    async def live(client) -> None:
        for type_url in CONFIGURED:
            await client.subscribe(type_url, *([] if type_url != ROUTE else room.world[ROUTE]))
        for type_url in CONFIGURED:
            await client.read_until(type_url, {f"n{number}": "2" for number in range(20)})

    living = [asyncio.create_task(live(client)) for client in clients]
    await until(lambda: len(room.service.envoys) == 50)
    put_some(room, 20, "2")
    await asyncio.gather(*living)
    # Each was told each version at most once; who came late the second only.
    for client in clients:
        for type_url in CONFIGURED:
            told = [name for said in client.received if said.type_url == type_url for name in said.resources.items()]
            if is_delta:
                assert len(told) == len(set(told))


async def test_two_of_one_node_are_two(room, connect):
    """For the seconds of a hot restart."""
    node = wire.Node(id="the same")
    room.put(LISTENER, "A")
    old, new = connect(delta=True), connect(delta=True)
    await old.ask(LISTENER, node=node)
    assert (await old.read()).resources == {"A": "1"}
    await new.ask(LISTENER, node=node)
    assert (await new.read()).resources == {"A": "1"}
    room.put(LISTENER, "A", version="2")
    await new.reject(await new.read(acknowledge=False))
    assert (await old.read()).resources == {"A": "2"}
    await room.rejected(LISTENER, {"A": ("2", "no")})
    await until(lambda: sorted(holder.version for holder in room.service.envoys.holders(LISTENER, "A")) == ["1", "2"])
    of_new, of_old = sorted(room.service.envoys.holders(LISTENER, "A"), key=lambda holder: holder.version)
    assert of_old.node == of_new.node == "the same"
    assert of_old.stream != of_new.stream
    assert (of_old.version, of_old.rejected) == ("2", None)
    assert (of_new.version, of_new.told, of_new.rejected, of_new.reason) == ("1", "1", "2", "no")
    assert await old.rest() == []
    room.put(LISTENER, "A", version="3")
    assert (await new.read()).resources == {"A": "3"}


async def test_one_that_never_reads_holds_up_names_and_nobody_else(room, connect):
    big = "x" * 50_000
    room.put(CLUSTER, *(f"n{number}" for number in range(100)), version=f"{big}1")
    deaf, other = connect(delta=True), connect(delta=True)
    await deaf.subscribe(CLUSTER)
    await other.subscribe(CLUSTER)
    await other.read_until(CLUSTER, room.world[CLUSTER])
    for version in range(2, 9):
        room.put(CLUSTER, *room.world[CLUSTER], version=f"{big}{version}")
        await other.read_until(CLUSTER, room.world[CLUSTER])
    (config,) = [stream._configs[CLUSTER] for stream in room.service.envoys if stream.told(CLUSTER, "n99") != f"{big}8"]
    assert len(config._pending) <= 100
    # Now it reads: the newest of each, and what was under way.
    await deaf.read_until(CLUSTER, room.world[CLUSTER])
    assert len(deaf.received) < 500  # of 800 that a queue of messages would hold


async def test_one_that_never_reads_does_not_stop_the_server(room, connect):
    room.put(CLUSTER, *(f"n{number}" for number in range(100)))
    deaf = connect(delta=True)
    await deaf.subscribe(CLUSTER)
    await until(lambda: len(room.service.envoys))
    room.service.close()
    await until(lambda: not len(room.service.envoys))


async def test_one_that_vanishes_leaves_nothing(room, connect):
    put_some(room, 10)
    client = connect(delta=True)
    for type_url in CONFIGURED:
        await client.subscribe(type_url, *([] if type_url != ROUTE else ["n1"]))
    await client.reject(await client.read(acknowledge=False))
    client.close()
    await until(lambda: not len(room.service.envoys))
    assert room.service.envoys.acknowledged() == ()
    assert room.service.counters.streams == 0
    put_some(room, 10, "2")


async def test_half_a_message_and_no_message_end_their_own_stream_only(room, connect):
    room.put(LISTENER, "A")
    good = connect(delta=True)
    await good.subscribe(LISTENER)
    await good.read()
    async with room.channel() as channel:
        for type_url in (None, *ALL):
            client = xds.client(channel, delta=True, only=type_url)
            await client._call.write(b"\xff\xff\xff")
            assert await client._call.code() is grpc.StatusCode.INVALID_ARGUMENT
    room.put(LISTENER, "A", version="2")
    assert (await good.read()).resources == {"A": "2"}


@pytest.mark.parametrize("only", ALL, ids=lambda type_url: NAMES[type_url])
async def test_a_service_for_one_type_need_not_be_told_the_type_and_serves_no_other(room, connect, only):
    put_some(room, 1)
    room.put(ENDPOINT, "n0")
    client = connect(delta=True, only=only)
    assert isinstance(client, DeltaClient)
    for other in {*ALL, SECRET, EXTENSION} - {only}:
        await client.subscribe(other, "n0")
    await client.subscribe("", "n0")
    said = await client.read(acknowledge=False)
    assert (said.type_url, said.resources) == (only, {"n0": "1"})
    assert await client.rest() == []


async def test_a_change_of_one_of_ten_thousand_costs_what_has_changed(room, connect):
    """Not by a clock, but by what the stream looks at."""
    names = [f"n{number}" for number in range(10_000)]
    room.put(ROUTE, *names)
    client = connect(delta=True)
    await client.subscribe(ROUTE, *names, initial_resource_versions=dict.fromkeys(names, "1"))
    await until(lambda: len(room.service.envoys))
    await room.seen(client)
    (stream,) = room.service.envoys
    await until(lambda: not stream.waiting)
    config = stream._configs[ROUTE]
    looked_at = 0
    due = config._subscription.due

    def counting(name: str, version: str) -> bool:
        nonlocal looked_at
        looked_at += 1
        return due(name, version)

    config._subscription.due = counting
    resources = dict(room.table.resources(ROUTE))
    for version in range(2, 52):
        resources["n7"] = xds.encoded(ROUTE, "n7", str(version))
        room.table.replace({ROUTE: resources})
        assert (await client.read()).resources == {"n7": str(version)}
    assert looked_at <= 2 * 50  # when it has changed, and when it was acknowledged


async def test_a_client_of_grpcs_core_is_not_cut_for_reading_long_streams(room, connect, monkeypatch):
    """It answers each response with a PING or a WINDOW_UPDATE; 10,000 responses were more than were allowed for."""
    strict = partial(Connection, limits=replace(LIMITS, control_frames=100, control_frames_per_second=0))
    monkeypatch.setattr("sidecar.grpcfast.protocol.Connection", strict)
    names = [f"n{number}" for number in range(1_000)]
    room.put(ROUTE, *names)
    client = connect(delta=True)
    await client.subscribe(ROUTE, *names)
    await client.read_until(ROUTE, dict.fromkeys(names, "1"))
    assert len(client.received) == 1_000
