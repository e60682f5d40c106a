"""The unary methods."""

from __future__ import annotations

import grpc
import pytest
from scenes.xds import ALL, WORDS, name_and_version

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.types import CLUSTER, LISTENER, NAMES


@pytest.fixture(params=ALL, ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


async def fetch(room, of, *names, **fields) -> wire.DiscoveryResponse:
    service, word = WORDS[of]
    async with room.channel() as channel:
        request = wire.DiscoveryRequest(resource_names=names, **fields)
        return wire.DiscoveryResponse.FromString(
            await channel.unary_unary(f"/{service}/Fetch{word}")(request.SerializeToString())
        )


@pytest.mark.parametrize(("asked", "found"), [([], "ABC"), (["*"], "ABC"), (["A", "Z", "A", "C"], "AC"), (["Z"], "")])
async def test_what_there_is_comes_once(room, type_url, asked, found):
    room.put(type_url, "A", "B", "C")
    response = await fetch(room, type_url, *asked)
    assert [name_and_version(resource)[0] for resource in response.resources] == list(found)
    assert (response.type_url, response.version_info) == (type_url, room.table.version(type_url))


async def test_the_version_is_of_what_there_is(room):
    room.put(LISTENER, "A")
    first = (await fetch(room, LISTENER)).version_info
    room.put(LISTENER, "B")
    second = (await fetch(room, LISTENER)).version_info
    room.remove(LISTENER, "B")
    assert second != first == (await fetch(room, LISTENER)).version_info


async def test_another_type_is_not_here(room):
    room.put(LISTENER, "A")
    response = await fetch(room, LISTENER, type_url=CLUSTER)
    assert (list(response.resources), response.version_info) == ([], "")


async def test_before_it_is_known_there_is_no_answer(room, type_url):
    room.table._types.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fetch(room, type_url)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_nonsense_is_an_error(room, type_url):
    service, word = WORDS[type_url]
    async with room.channel() as channel:
        for method in (f"Fetch{word}", f"Delta{word}", f"Stream{word}"):
            call = channel.stream_unary(f"/{service}/{method}")(iter([b"\xff\xff"]))
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
