"""XDS#resource-updates and #grouping-resources-into-responses in state of the world, and what other clients expect."""

from __future__ import annotations

import pytest
from scenes import xds
from scenes.xds import ALL, name_and_version

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import config, patience
from sidecar.xds.types import CLUSTER, LISTENER, NAMES, ROUTE, SECRET, WHOLE


@pytest.fixture(params=ALL, ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


@pytest.fixture
def unforgiving(monkeypatch):
    """Who does not acknowledge is not written to."""
    monkeypatch.setattr(patience, "ACK_PATIENCE", 3600.0)


def held(*names: str, version: str = "1") -> dict[str, str]:
    return dict.fromkeys(names, version)


class TestOneResponse:
    async def test_all_that_was_asked_for_is_in_the_first(self, room, world, type_url, unforgiving):
        """go-control-plane does so, and clients read one response."""
        room.put(type_url, "A", "B", "C")
        await world.list(type_url, ["A", "B", "C"])
        assert (await world.read(acknowledge=False)).resources == held("A", "B", "C")

    async def test_a_thousand_are_as_many_as_the_slices(self, room, world):
        names = [f"tenant-{number}.example.com" for number in range(1000)]
        room.put(ROUTE, *names)
        await world.list(ROUTE, names)
        await world.read_until(ROUTE, held(*names))
        assert len(world.received) <= 3
        assert await world.rest() == []

    async def test_large_ones_are_several_responses(self, room, world, monkeypatch):
        """gRPC's clients refuse messages of more than 4 MiB."""
        monkeypatch.setattr(config, "FULL", 10_000)
        names = [f"n{number}" for number in range(10)]
        room.put(ROUTE, *names, version="x" * 4_000)
        await world.list(ROUTE, names)
        await world.read_until(ROUTE, held(*names, version="x" * 4_000))
        assert 3 <= len(world.received) <= 10

    async def test_of_several_that_are_rejected_the_good_come_all_the_same(self, room, world):
        room.put(ROUTE, "A", "B", "C")
        room.put(ROUTE, "B", version="bad")
        await world.list(ROUTE, ["A", "B", "C"])
        await world.reject(await world.read(acknowledge=False), "one of them")
        alone: dict[str, str] = {}
        while len(alone) < 3:
            said = await world.read(acknowledge=False)
            assert len(said.resources) == 1
            alone.update(said.resources)
            if said.resources == {"B": "bad"}:
                await world.reject(said, "this one")
            else:
                await world.acknowledge(said)
        assert alone == {"A": "1", "B": "bad", "C": "1"}
        await room.rejected(ROUTE, {"B": ("bad", "this one")})
        assert await world.rest() == []


class TestEmptyList:
    """envoyproxy/xds-conformance: to a first request without names, an answer with type, nonce and version."""

    @pytest.mark.parametrize("only", [False, True], ids=["aggregated", "separate"])
    @pytest.mark.parametrize("of", [*ALL, SECRET], ids=lambda type_url: NAMES[type_url])
    async def test_where_there_is_nothing(self, room, connect, of, only):
        client = connect(delta=False, only=of if only else None)
        await client.list(of, [])
        said = await client.read()
        assert (said.type_url, said.resources) == (of, {})
        assert said.nonce
        assert said.whole
        await client.list(of, [])
        assert await client.rest() == []

    async def test_where_there_is_something(self, room, world, type_url):
        room.put(type_url, "A", "B")
        await world.list(type_url, [])
        said = await world.read()
        assert (said.type_url, said.resources) == (type_url, held("A", "B"))
        assert said.whole
        assert await world.rest() == []

    async def test_names_after_it_are_answered_alone(self, room, world, type_url):
        await world.list(type_url, [])
        await world.read()
        await world.list(type_url, ["A"])
        room.put(type_url, "B")
        room.put(type_url, "A")
        await world.read_until(type_url, held("A"))
        assert all(set(said.resources) <= {"A"} for said in world.received)

    async def test_a_wildcard_of_secrets_is_a_name_that_there_is_not(self, room, world):
        """Envoy asks for it when a client sends it as SNI."""
        await world.list(SECRET, ["*"])
        assert await world.rest() == []

    async def test_nothing_is_said_of_a_type_that_is_not_known_yet(self, room, world, type_url):
        room.table._types.clear()
        await world.list(type_url, [])
        await room.seen(world)
        room.put(type_url, "A")
        assert (await world.read()).resources == held("A")
        assert await world.rest() == []

    async def test_of_secrets_that_nobody_has_a_fetch_has_a_version_too(self, room):
        async with room.channel() as channel:
            service, word = xds.WORDS[SECRET]
            data = await channel.unary_unary(f"/{service}/Fetch{word}")(wire.DiscoveryRequest().SerializeToString())
        response = wire.DiscoveryResponse.FromString(data)
        assert (list(response.resources), bool(response.version_info)) == ([], True)


class TestStaleNonce:
    """XDS#resource-updates: "should not send a DiscoveryResponse for any DiscoveryRequest that has a stale nonce"."""

    async def test_a_name_under_a_stale_nonce_waits_for_the_fresh_one(self, room, world, type_url):
        room.put(type_url, "A", "B")
        await world.list(type_url, ["A"])
        first = await world.read()
        room.put(type_url, "A", version="2")
        second = await world.read()
        world._last[type_url] = first
        await world.list(type_url, ["A", "B"])
        await self.nothing_comes(room, world)
        world._last[type_url] = second
        await world.list(type_url, ["A", "B"])
        await world.read_until(type_url, {"A": "2", "B": "1"})
        assert await world.rest() == []

    @pytest.mark.parametrize("more", [["B"], ["*"]], ids=["a name", "the wildcard"])
    async def test_an_unknown_nonce_is_stale(self, room, world, type_url, more):
        room.put(type_url, "A", "B")
        await world.list(type_url, ["A"])
        await world.read()
        await world.send(
            wire.DiscoveryRequest(type_url=type_url, resource_names=["A", *more], response_nonce="of nobody")
        )
        await self.nothing_comes(room, world)
        await world.list(type_url, ["A", *more])
        await world.read_until(type_url, held("A", "B"))

    async def test_a_name_given_up_under_a_stale_nonce_is_given_up(self, room, world, type_url):
        room.put(type_url, "A", "B")
        await world.list(type_url, ["A", "B"])
        first = await world.read()
        room.put(type_url, "A", version="2")
        await world.read_until(type_url, {"A": "2", "B": "1"})
        world._last[type_url] = first
        await world.list(type_url, ["A"])
        await room.seen(world)
        room.put(type_url, "B", version="2")
        assert await world.rest() == []

    async def test_before_the_first_response_any_nonce_will_do(self, room, world, type_url):
        """A client that comes back may say the last one of the stream before."""
        room.put(type_url, "A")
        await world.send(wire.DiscoveryRequest(type_url=type_url, resource_names=["A"], response_nonce="17"))
        assert (await world.read()).resources == held("A")

    async def test_without_a_nonce_it_is_not_stale(self, room, world, type_url):
        """As go-control-plane has it, for clients that count no responses."""
        room.put(type_url, "A", "B")
        await world.list(type_url, ["A"])
        await world.read()
        world._last.clear()
        await world.list(type_url, ["A", "B"])
        await world.read_until(type_url, held("A", "B"))

    @staticmethod
    async def nothing_comes(room, client) -> None:
        """Something that comes after it has come."""
        await room.seen(client)
        (stream,) = room.service.envoys
        assert not stream.waiting
        before = len(client.received)
        await client.subscribe(SECRET)
        assert (await client.read()).type_url == SECRET
        assert len(client.received) == before + 1


@pytest.mark.parametrize("is_delta", [True, False], ids=["delta", "state of the world"])
@pytest.mark.parametrize("of", [CLUSTER, ROUTE], ids=lambda type_url: NAMES[type_url])
async def test_a_resource_locator_is_a_name(room, connect, is_delta, of):
    room.put(of, "A", "B", "C")
    client = connect(delta=is_delta)
    locators = [wire.ResourceLocator(name="A")]
    if is_delta:
        await client.ask(of, resource_locators_subscribe=locators)
        assert (await client.read()).resources == held("A")
        await client.ask(of, resource_locators_unsubscribe=locators, resource_names_subscribe=["B"])
        assert (await client.read()).resources == held("B")
        room.put(of, "A", "C", version="2")
    else:
        await client.send(wire.DiscoveryRequest(type_url=of, resource_locators=locators, resource_names=["B"]))
        assert (await client.read(acknowledge=False)).resources == held("A", "B")
        room.put(of, "C", version="2")
    assert await client.rest() == []


@pytest.mark.parametrize("of", ALL, ids=lambda type_url: NAMES[type_url])
async def test_a_fetch_by_locators(room, of):
    room.put(of, "A", "B")
    service, word = xds.WORDS[of]
    request = wire.DiscoveryRequest(resource_locators=[wire.ResourceLocator(name="B")])
    async with room.channel() as channel:
        data = await channel.unary_unary(f"/{service}/Fetch{word}")(request.SerializeToString())
    response = wire.DiscoveryResponse.FromString(data)
    assert [name_and_version(resource)[0] for resource in response.resources] == ["B"]


def test_the_types_whose_responses_are_whole():
    assert {CLUSTER, LISTENER} == WHOLE
