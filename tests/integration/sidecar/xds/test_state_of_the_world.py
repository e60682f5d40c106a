"""A state-of-the-world client, which Envoy is without DELTA in its configuration, and the unary fetch."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from scenes.secrets import certificate_in, name_in

from sidecar.certs.secrets import SECRET_TYPE
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import methods as xds


class Client:
    """Acknowledges what it reads. Its list of names is sent whole each time."""

    def __init__(self, channel: grpc.aio.Channel, path: str) -> None:
        self._call = channel.stream_stream(path)()
        self.names: tuple[str, ...] = ()
        self.nonce = self.version = ""

    async def send(self, *names: str, **fields: Any) -> None:
        self.names = names
        request = wire.DiscoveryRequest(
            type_url=SECRET_TYPE,
            resource_names=names,
            response_nonce=self.nonce,
            version_info=self.version,
            **fields,
        )
        await self._call.write(request.SerializeToString())

    async def read(self, *, acknowledge: bool = True) -> bytes:
        async with asyncio.timeout(10):
            response = wire.DiscoveryResponse.FromString(await self._call.read())
        assert response.type_url == SECRET_TYPE
        assert response.nonce != self.nonce
        self.nonce, self.version = response.nonce, response.version_info
        (resource,) = response.resources
        if acknowledge:
            await self.send(*self.names)
        return resource


@pytest.fixture(params=[f"{xds.AGGREGATED}/StreamAggregatedResources", f"{xds.SECRETS}/StreamSecrets"])
async def client(room, request):
    async with room.channel() as channel:
        yield Client(channel, f"/{request.param}")


async def test_names_are_served_one_a_response(room, client):
    await room.add("a.brand.test")
    await room.add("b.brand.test")
    await client.send("a.brand.test", "nobody.test", "b.brand.test")
    assert {name_in(await client.read()) for _ in range(2)} == {"a.brand.test", "b.brand.test"}


async def test_a_name_added_to_the_list_is_served_alone(room, client):
    await room.add("a.brand.test")
    await room.add("b.brand.test")
    await client.send("a.brand.test")
    await client.read()
    await client.send("a.brand.test", "b.brand.test")
    assert name_in(await client.read()) == "b.brand.test"


async def test_a_name_that_nobody_has_is_served_once_somebody_has_it(room, client):
    await client.send("a.brand.test")
    await room.add("b.brand.test")
    await client.send("a.brand.test", "b.brand.test")
    assert name_in(await client.read()) == "b.brand.test"
    await room.add("a.brand.test")
    assert name_in(await client.read()) == "a.brand.test"


async def test_a_renewed_certificate_is_pushed(room, client):
    entry = await room.add("a.brand.test")
    await client.send("a.brand.test")
    await client.read()
    renewed = await room.renew(entry)
    assert certificate_in(await client.read()).fingerprint == renewed.fingerprint


async def test_nothing_is_sent_before_the_last_response_is_acknowledged(room, client):
    for hostname in ("a.brand.test", "b.brand.test"):
        await room.secrets.fetch(await room.add(hostname))
    await client.send("a.brand.test", "b.brand.test")
    assert name_in(await client.read(acknowledge=False)) == "a.brand.test"
    (stream,) = room.service._streams
    assert stream._subscription.window == 0
    assert list(stream._waiting.asked) == ["b.brand.test"]
    await client.send(*client.names)
    assert name_in(await client.read()) == "b.brand.test"


async def test_a_rejection_is_counted_and_the_stream_goes_on(room, client, eventually):
    await room.add("a.brand.test")
    await room.add("b.brand.test")
    await client.send("a.brand.test")
    await client.read(acknowledge=False)
    await client.send("a.brand.test", error_detail=wire.Status(message="no"))
    await client.send("a.brand.test", "b.brand.test")
    assert name_in(await client.read()) == "b.brand.test"
    assert room.service.counters.nacks == 1


async def fetch(room, *names: str, type_url: str = SECRET_TYPE) -> list[bytes]:
    async with room.channel() as channel:
        call = channel.unary_unary(f"/{xds.SECRETS}/FetchSecrets")
        request = wire.DiscoveryRequest(type_url=type_url, resource_names=names)
        return list(wire.DiscoveryResponse.FromString(await call(request.SerializeToString())).resources)


async def test_a_fetch_gives_the_names_that_there_are(room):
    await room.add("a.brand.test")
    await room.add("b.brand.test")
    found = await fetch(room, "a.brand.test", "nobody.test", "b.brand.test", "127.0.0.1", "a.brand.test")
    assert sorted(map(name_in, found)) == ["a.brand.test", "b.brand.test"]


async def test_a_fetch_of_another_type_gives_nothing(room):
    await room.add("a.brand.test")
    assert await fetch(room, "a.brand.test", type_url="type.googleapis.com/x") == []


async def test_a_fetch_of_nonsense_is_an_error(room):
    async with room.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{xds.SECRETS}/FetchSecrets")(b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
