"""A rejection is heard once, told once, and answered by nothing until the resource is another one."""

from __future__ import annotations

import pytest
import structlog
from scenes.xds import DeltaClient, until

from sidecar.xds import config, config_whole
from sidecar.xds.types import CLUSTER, LISTENER, NAMES, ROUTE, WHOLE


@pytest.fixture(params=[True, False], ids=["delta", "state of the world"])
def client(connect, request):
    return connect(delta=request.param)


@pytest.fixture(params=[CLUSTER, LISTENER, ROUTE], ids=lambda type_url: NAMES[type_url])
def type_url(request):
    return request.param


async def test_a_rejected_resource_is_not_repeated_until_it_is_another(room, client, type_url):
    with structlog.testing.capture_logs() as events:
        room.put(type_url, "A")
        await client.subscribe(type_url, "A")
        await client.read()
        room.put(type_url, "A", version="2")
        await client.reject(await client.read(acknowledge=False), "bad")
        await room.rejected(type_url, {"A": ("2", "bad")})
        room.tell(type_url)
        room.put(type_url, "B")
        room.put(type_url, "A", version="3")
        assert (await client.read()).resources == {"A": "3"}
        await room.rejected(type_url, {})
        assert await client.rest() == []
    (event,) = [event for event in events if event["event"] == "envoy_rejected"]
    assert (event["type"], event["resource"], event["version"]) == (NAMES[type_url], "A", "2")
    assert room.service.type_stats()[NAMES[type_url]]["nacks"] == 1


async def test_what_is_rejected_from_the_first_is_not_repeated_either(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.reject(await client.read(acknowledge=False))
    await room.rejected(type_url, {"A": ("1", "no")})
    assert room.service.type_stats()[NAMES[type_url]]["rejected"] == 1
    assert await client.rest() == []
    assert room.service.type_stats()[NAMES[type_url]]["rejected"] == 0, "it has gone with its stream"


async def test_back_at_the_version_that_the_client_has_nothing_is_rejected_any_more(room, client, type_url):
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    await client.read()
    room.put(type_url, "A", version="2")
    await client.reject(await client.read(acknowledge=False))
    await room.rejected(type_url, {"A": ("2", "no")})
    room.put(type_url, "A", version="1")
    await room.rejected(type_url, {})
    assert await client.rest() == []


async def test_others_go_on(room, client, type_url):
    room.put(type_url, "A", "B")
    await client.subscribe(type_url, "A", "B")
    await client.read_until(type_url, {"A": "1", "B": "1"})
    room.put(type_url, "A", version="2")
    await client.reject(await client.read(acknowledge=False))
    await room.rejected(type_url, {"A": ("2", "no")})
    room.put(type_url, "B", version="2")
    said = await client.read()
    assert said.resources["B"] == "2"
    assert said.resources.get("A", "2") == "2"  # a whole set has it in it, and is another set
    assert await client.rest() == []


async def test_what_was_rejected_and_has_gone_is_rejected_no_more(room, client, type_url):
    room.put(type_url, "A", "B")
    await client.subscribe(type_url, "A", "B")
    await client.read_until(type_url, {"A": "1", "B": "1"})
    room.put(type_url, "A", version="2")
    await client.reject(await client.read(acknowledge=False))
    await room.rejected(type_url, {"A": ("2", "no")})
    room.remove(type_url, "A")
    if isinstance(client, DeltaClient) or type_url in WHOLE:
        await client.read()
    await room.rejected(type_url, {})
    assert await client.rest() == []


async def test_a_removal_that_is_rejected_is_not_repeated(room, delta):
    room.put(LISTENER, "A")
    await delta.subscribe(LISTENER, "*")
    await delta.read()
    room.remove(LISTENER, "A")
    said = await delta.read(acknowledge=False)
    assert said.removed == ("A",)
    await delta.reject(said)
    await room.rejected(LISTENER, {"A": ("", "no")})
    room.put(LISTENER, "A", version="2")
    assert (await delta.read()).resources == {"A": "2"}
    await room.rejected(LISTENER, {})
    assert await delta.rest() == []


async def test_a_rejection_that_asks_again_is_no_loop(room, client, type_url, monkeypatch):
    """A client that asks for what it rejects, in the same breath, is given it again after a while."""
    monkeypatch.setattr(config, "ASK_AGAIN", 0.2)
    monkeypatch.setattr(config_whole, "ASK_AGAIN", 0.2)
    loop = __import__("asyncio").get_running_loop()
    room.put(type_url, "A")
    await client.subscribe(type_url, "A")
    started = loop.time()
    for _ in range(3):
        said = await client.read(acknowledge=False)
        assert said.resources == {"A": "1"}
        if isinstance(client, DeltaClient):
            await client.reject(said, resource_names_subscribe=["A"])
        else:
            await client.reject(said)
            return  # with the same list of names it has asked for nothing
    assert loop.time() - started > 0.4
    assert room.service.type_stats()[NAMES[type_url]]["nacks"] >= 2


async def test_a_nack_with_an_unknown_nonce_is_nobodys(room, delta):
    room.put(CLUSTER, "A")
    await delta.subscribe(CLUSTER, "A")
    said = await delta.read(acknowledge=False)
    await delta.ask(CLUSTER, response_nonce="nobody's", error_detail={"message": "no"})
    await delta.acknowledge(said)
    assert await delta.rest() == []
    assert room.service.counters.nacks == 0


@pytest.mark.parametrize("bad", [("n7",), ("n0", "n19"), ()], ids=["one", "two", "none"])
@pytest.mark.parametrize("keeps", [True, False], ids=["keeps the good", "keeps none"])
async def test_of_several_in_one_response_each_that_is_bad_is_named_and_no_other(room, delta, type_url, bad, keeps):
    """Envoy takes the good clusters and listeners of a response that it rejects; the protocol wants none taken."""
    names = [f"n{number}" for number in range(20)]
    room.put(type_url, *names)
    room.service.envoys.mark(1)
    takes: dict[str, str] = {}
    responses = 20 if type_url not in WHOLE else 21 if bad else 1
    with structlog.testing.capture_logs() as events:
        await delta.subscribe(type_url, *names)
        for _ in range(responses):
            said = await delta.read(acknowledge=False)
            at_fault = said.resources.keys() & {*bad}
            if keeps or not at_fault:
                takes.update((name, version) for name, version in said.resources.items() if name not in bad)
            if at_fault:
                await delta.reject(said, f"bad: {bad}")
            else:
                await delta.acknowledge(said)
        assert takes.keys() == {*names} - {*bad}
        await room.rejected(type_url, dict.fromkeys(bad, ("1", f"bad: {bad}")))
        await until(lambda: room.service.envoys.acknowledged() == (1,))
        for name in names:
            holders = room.service.envoys.holders(type_url, name)
            assert [holder.rejected for holder in holders] == ["1" if name in bad else None]
        room.put(type_url, *bad, version="2")
        await delta.read_until(type_url, dict.fromkeys(names, "1") | dict.fromkeys(bad, "2"))
        await room.rejected(type_url, {})
        assert await delta.rest() == []
    assert sorted(event["resource"] for event in events if event["event"] == "envoy_rejected") == sorted(bad)
    assert room.service.counters.nacks == len(bad)


async def test_several_at_once_come_together_again_when_each_was_acknowledged(room, delta):
    room.put(CLUSTER, "A", "B")
    await delta.subscribe(CLUSTER)
    said = await delta.read(acknowledge=False)
    assert said.resources == {"A": "1", "B": "1"}
    await delta.reject(said)
    assert [(await delta.read()).resources, (await delta.read()).resources] == [{"A": "1"}, {"B": "1"}]
    await room.seen(delta)
    room.put(CLUSTER, "A", "B", version="2")
    assert (await delta.read()).resources == {"A": "2", "B": "2"}
    assert await delta.rest() == []


async def test_of_several_that_are_rejected_one_that_is_dropped_or_gone_is_not_said_again(room, delta):
    room.put(CLUSTER, "A", "B", "C", "D")
    await delta.subscribe(CLUSTER, "A", "B", "C", "D")
    said = await delta.read(acknowledge=False)
    room.remove(CLUSTER, "D")
    await delta.reject(said, resource_names_unsubscribe=["A"])
    later = [await delta.read() for _ in range(3)]
    assert [answer.resources for answer in later if answer.resources] == [{"B": "1"}, {"C": "1"}]
    assert [answer.removed for answer in later if answer.removed] == [("D",)]
    assert await delta.rest() == []
    assert room.service.counters.nacks == 0


async def test_a_client_that_rejects_everything_hears_everything_once_and_alone(room, client):
    names = [f"n{number}" for number in range(100)]
    for type_url in (CLUSTER, LISTENER, ROUTE):
        room.put(type_url, *names)
    with structlog.testing.capture_logs() as events:
        for type_url in (CLUSTER, LISTENER, ROUTE):
            await client.subscribe(type_url, *names)
        alone = {CLUSTER: 0, LISTENER: 0, ROUTE: 0}
        whole = set() if isinstance(client, DeltaClient) else WHOLE
        while any(count < (1 if type_url in whole else 100) for type_url, count in alone.items()):
            answer = await client.read(acknowledge=False)
            alone[answer.type_url] += len(answer.resources) == 1 or answer.type_url in whole
            await client.reject(answer, "never")
        assert await client.rest() == []
    together = sum(len(said.resources) > 1 and said.type_url not in whole for said in client.received)
    assert together <= 2
    logged = [event for event in events if event["event"] == "envoy_rejected"]
    assert len(logged) == 300
    assert room.service.counters.nacks == len(client.received) - together
    assert {CLUSTER, LISTENER} == WHOLE
