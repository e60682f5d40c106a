"""A delta client on a real stream: gRPC, a real Vault behind it, the real directory."""

from __future__ import annotations

import grpc
import pytest
import structlog
from scenes.entries import changed
from scenes.secrets import PLATFORM, DeltaClient, certificate_in, name_in

from sidecar.edge.secrets import is_edge_secret
from sidecar.xds import methods as xds
from sidecar.xds import rejections
from sidecar.xds.spellings import LIMIT


@pytest.mark.parametrize("aggregated", [True, False])
async def test_a_known_name_is_served(room, aggregated):
    entry = await room.add("shop.brand.test")
    async with room.channel() as channel:
        client = DeltaClient(channel, aggregated=aggregated)
        await client.subscribe("shop.brand.test")
        said = await client.read()
        client.close()
    assert said.certificate().fingerprint == entry.fingerprint
    assert said.certificate().names == ("shop.brand.test",)
    assert list(said.served) == ["shop.brand.test"]


async def test_the_type_may_be_left_out_on_a_stream_of_secrets_only(room):
    await room.add("shop.brand.test")
    async with room.channel() as channel:
        client = DeltaClient(channel, aggregated=False)
        await client.subscribe("shop.brand.test", type_url="")
        assert (await client.read()).served
        client.close()


async def test_names_that_nobody_registered_are_refused_without_asking_vault_or_postgresql(room, client):
    await room.add("shop.brand.test")
    before = await room.mount.read_count()
    names = [f"made-up-{number}.test" for number in range(200)]
    await client.subscribe(*names)
    said = await client.read()
    assert said.removed == tuple(names)
    assert await room.mount.read_count() == before
    assert room.service.counters.removed_unknown == 200
    assert room.service.stats()["fetches"] == 0


@pytest.mark.parametrize(
    "name",
    [
        "192.0.2.1",
        "::1",
        "shop.brand.test.",
        "shop..brand.test",
        "*.brand.test",
        "*",
        "localhost",
        "shop.brand.test:443",
        "client-ca/shop.brand.test",
        "upstream/shop.brand.test",
        "a" * 250 + ".test",
        "sh\u00f6p.brand.test",
        "shop.brand.test\x00",
        "",
    ],
)
async def test_what_is_no_hostname_is_refused(room, client, name):
    await room.add("shop.brand.test")
    await room.add("*.brand.test")
    await client.subscribe(name)
    assert (await client.read()).removed == (name,)
    counters = room.service.counters
    assert (counters.removed_unknown if is_edge_secret(name) else counters.removed_invalid) == 1


async def test_default_is_the_certificate_of_the_platform(room, client):
    certificate = await room.store_platform()
    await client.subscribe("default")
    assert (await client.read()).certificate().fingerprint == certificate.fingerprint


async def test_a_subdomain_of_the_platform_gets_its_certificate_under_its_own_name(room, client):
    certificate = await room.store_platform()
    room.add_platform("acme")
    await client.subscribe(f"acme.{PLATFORM}")
    said = await client.read()
    assert list(said.served) == [f"acme.{PLATFORM}"]
    assert said.certificate().fingerprint == certificate.fingerprint


async def test_a_wildcard_row_serves_one_label_and_is_read_once(room, client):
    entry = await room.add("*.brand.test")
    before = await room.mount.read_count()
    await client.subscribe("a.brand.test", "b.brand.test", "a.b.brand.test")
    await client.read_until(lambda: len(client.received) == 3)
    assert sorted(client.held) == ["a.brand.test", "b.brand.test"]
    fingerprints = {said.certificate().fingerprint for said in client.received if said.served}
    assert fingerprints == {entry.fingerprint}
    assert await room.mount.read_count() == before + 1


async def test_a_name_is_answered_in_the_spelling_it_was_asked_in(room, client):
    await room.add("shop.brand.test")
    await client.subscribe("SHOP.Brand.test")
    said = await client.read()
    assert name_in(said.resources[0]) == "SHOP.Brand.test"


async def test_a_name_is_not_served_in_more_spellings_than_the_limit(room, client):
    await room.add("shop.brand.test")
    spelled = ["Shop.brand.test", "sHop.brand.test", "shOp.brand.test", "shoP.brand.test", "SHOP.brand.test"]
    await client.subscribe(*spelled)
    await client.read_until(lambda: len(client.held) == LIMIT and any(said.removed for said in client.received))
    assert sorted(name for said in client.received for name in said.removed) == sorted({*spelled} - {*client.held})
    assert len(client.received) == LIMIT + 1
    await client.subscribe("shop.brand.test")
    assert (await client.read()).served
    gone = next(iter(client.held))
    refused = next(iter({*spelled} - {*client.held}))
    await client.unsubscribe(gone)
    await client.subscribe(refused)
    assert list((await client.read()).served) == [refused]


async def test_a_domain_without_a_certificate_is_refused_until_it_has_one(room, client):
    entry = await room.add("shop.brand.test")
    room.put(changed(entry, fingerprint=None, vault_version=None))
    await client.subscribe("shop.brand.test")
    assert (await client.read()).removed == ("shop.brand.test",)
    room.put(entry)
    assert list((await client.read()).served) == ["shop.brand.test"]
    assert room.service.counters.pushes == 1


async def test_an_unsubscription_is_not_answered(room, client):
    await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test", "nobody.test")
    await client.read_until(lambda: len(client.received) == 2)
    await client.unsubscribe("shop.brand.test", "nobody.test", "never.test")
    await client.nothing_is_said()


async def test_a_name_asked_again_is_answered_again(room, client):
    await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    first = await client.read()
    await client.subscribe("shop.brand.test")
    assert (await client.read()).served == first.served


async def test_a_renewed_certificate_is_pushed_once(room, client):
    entry = await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    renewed = await room.renew(entry)
    assert (await client.read()).certificate().fingerprint == renewed.fingerprint
    room.put(renewed)
    await client.nothing_is_said()


async def test_a_deleted_domain_is_removed_once_and_its_key_forgotten(room, client):
    await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    assert [hostname for hostname, _ in room.service.expiries()] == ["shop.brand.test"]
    room.remove("shop.brand.test")
    assert (await client.read()).removed == ("shop.brand.test",)
    assert len(room.secrets) == 0
    room.remove("shop.brand.test")
    await client.nothing_is_said()


async def test_a_wildcard_that_goes_takes_its_names_and_no_others(room, client):
    await room.add("*.brand.test")
    await room.add("own.brand.test")
    await client.subscribe("a.brand.test", "own.brand.test")
    await client.read_until(lambda: len(client.held) == 2)
    room.remove("*.brand.test")
    assert (await client.read()).removed == ("a.brand.test",)
    await client.nothing_is_said()


async def test_a_name_that_goes_falls_back_to_its_wildcard(room, client):
    wildcard = await room.add("*.brand.test")
    await room.add("own.brand.test")
    await client.subscribe("own.brand.test")
    await client.read()
    room.remove("own.brand.test")
    assert (await client.read()).certificate().fingerprint == wildcard.fingerprint


async def test_a_new_certificate_of_the_platform_is_pushed_to_its_names_only(room, client):
    await room.store_platform()
    await room.add("shop.brand.test")
    room.add_platform("acme")
    await client.subscribe("default", f"acme.{PLATFORM}", "shop.brand.test")
    await client.read_until(lambda: len(client.held) == 3)
    newer = await room.store_platform()
    await room.platform.look()
    pushed = [await client.read(), await client.read()]
    assert {name for said in pushed for name in said.served} == {"default", f"acme.{PLATFORM}"}
    assert {certificate_in(said.resources[0]).fingerprint for said in pushed} == {newer.fingerprint}
    await client.nothing_is_said()


async def test_a_client_that_comes_back_is_sent_nothing_that_it_has_and_vault_is_not_asked(room):
    await room.store_platform()
    await room.platform.look()
    await room.add("shop.brand.test")
    changing = await room.add("changing.brand.test")
    await room.add("going.brand.test")
    names = ["default", "shop.brand.test", "changing.brand.test", "going.brand.test"]
    async with room.channel() as channel:
        client = DeltaClient(channel)
        await client.subscribe(*names)
        await client.read_until(lambda: len(client.held) == 4)
        client.close()
    renewed = await room.renew(changing)
    room.remove("going.brand.test")
    room.secrets.forget("shop.brand.test")  # as in a sidecar that was restarted
    before = await room.mount.read_count()
    async with room.channel() as channel:
        again = DeltaClient(channel)
        await again.subscribe(*names, initial_resource_versions=client.held)
        said = [await again.read(), await again.read()]
        assert {name for answer in said for name in answer.removed} == {"going.brand.test"}
        assert {name for answer in said for name in answer.served} == {"changing.brand.test"}
        assert said[1].certificate().fingerprint == renewed.fingerprint
        await again.nothing_is_said()
        again.close()
    assert await room.mount.read_count() == before + 1


async def test_a_client_that_rejects_a_certificate_and_has_none_hears_that_there_is_none(room, client):
    """So that the handshake fails at once, and the next one asks again."""
    entry = await room.add("shop.brand.test")
    with structlog.testing.capture_logs() as events:
        await client.subscribe("shop.brand.test")
        said = await client.read(acknowledge=False)
        await client.reject(said, "we do not like it")
        assert (await client.read()).removed == ("shop.brand.test",)
        await client.subscribe("shop.brand.test")
        assert (await client.read()).removed == ("shop.brand.test",)
        await client.nothing_is_said()
    assert room.service.counters.nacks == 1
    (event,) = [event for event in events if event["event"] == "envoy_rejected"]
    assert (event["resource"], event["version"]) == ("shop.brand.test", said.served["shop.brand.test"])
    renewed = await room.renew(entry)
    assert (await client.read()).certificate().fingerprint == renewed.fingerprint


async def test_a_rejected_certificate_is_tried_again_after_a_while_and_logged_once(room, client, monkeypatch):
    monkeypatch.setattr(rejections, "REJECTED", 0.1)
    await room.add("shop.brand.test")
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            said = None
            while said is None or not said.served:
                await client.unsubscribe("shop.brand.test")
                await client.subscribe("shop.brand.test")
                said = await client.read(acknowledge=False)
            await client.reject(said, "no")
            assert (await client.read()).removed == ("shop.brand.test",)
    assert room.service.counters.nacks == 3
    assert len([event for event in events if event["event"] == "envoy_rejected"]) == 1


async def test_a_client_that_rejects_a_renewal_or_a_removal_keeps_what_it_has_and_hears_of_it_again(
    room, client, monkeypatch
):
    monkeypatch.setattr(rejections, "REJECTED", 0.1)
    monkeypatch.setattr(rejections, "SAY_AGAIN", 0.2)
    entry = await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    renewed = await room.renew(entry)
    await client.reject(await client.read(acknowledge=False), "no")
    assert (await client.read()).certificate().fingerprint == renewed.fingerprint
    room.remove("shop.brand.test")
    await client.reject(await client.read(acknowledge=False), "no")
    assert (await client.read()).removed == ("shop.brand.test",)
    await client.nothing_is_said()


async def test_a_wildcard_subscription_gets_nothing_and_is_no_error(room):
    await room.add("shop.brand.test")
    async with room.channel() as channel:
        client = DeltaClient(channel)
        await client.subscribe()
        await client.nothing_is_said_beside_a_wildcard()
        client.close()


async def test_all_of_other_types_is_nothing_and_no_error(room, client):
    await room.add("shop.brand.test")
    await client.subscribe("*", "shop.brand.test", type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
    await client.subscribe("*", type_url="type.googleapis.com/x")
    await client.nothing_is_said()
    assert room.service.counters.subscriptions <= 1


async def test_what_is_no_request_ends_the_stream_with_an_error(room):
    async with room.channel() as channel:
        call = channel.stream_stream(f"/{xds.AGGREGATED}/DeltaAggregatedResources")()
        await call.write(b"\xff\xff\xff")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert room.service.counters.streams == 0


async def test_streams_end_in_good_order_when_the_service_closes(room, client, eventually):
    await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    room.service.close()
    assert await client.ended() is grpc.StatusCode.OK
    assert (room.service.counters.streams, room.service.counters.subscriptions) == (0, 0)


async def test_a_client_that_vanishes_leaves_nothing_behind(room, eventually):
    await room.add("shop.brand.test")
    async with room.channel() as channel:
        client = DeltaClient(channel)
        await client.subscribe("shop.brand.test", "nobody.test")
        await client.read_until(lambda: len(client.received) == 2)
        client.close()
    await eventually(lambda: room.service.counters.streams == 0)
    assert room.service.counters.subscriptions == 0
    assert len(room.service._index) == 0
