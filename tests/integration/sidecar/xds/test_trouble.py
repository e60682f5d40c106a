"""Vault or PostgreSQL away, or what is in Vault not fit: nothing is removed for that, and all comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta
from uuid import UUID

import pytest
from scenes import secrets
from scenes.entries import changed
from scenes.secrets import DeltaClient

from core.vault import certificate_path
from sidecar.directory.rows import Everything, Recent
from sidecar.xds.resolver import ANSWER_DEADLINE

ENVOY_CONNECT_TIMEOUT = 5.0  # transport_socket_connect_timeout in envoy/static.yaml


@pytest.fixture
async def room(mortal_vault, state_dir):
    """Its Vault may be sealed and frozen."""
    async with secrets.room(mortal_vault, state_dir) as made:
        yield made


async def connect(room, *names, **fields) -> DeltaClient:
    client = DeltaClient(room.channel())
    await client.subscribe(*names, **fields)
    return client


async def served_by_itself(client: DeltaClient, name: str) -> secrets.Said:
    said = await client.read()
    while name not in said.served:
        said = await client.read()
    return said


async def test_sealed_loaded_names_stay_cold_ones_fail_at_once_and_recover(room, client, eventually):
    loaded = await room.add("loaded.brand.test")
    cold = await room.add("cold.brand.test")
    await client.subscribe("loaded.brand.test")
    await client.read()
    await room.mount.openbao.seal()

    started = time.monotonic()
    await client.subscribe("cold.brand.test")
    assert (await client.read()).removed == ("cold.brand.test",)
    assert time.monotonic() - started < ANSWER_DEADLINE
    assert room.service.counters.removed_unavailable == 1
    assert room.secrets.failures == 2  # it was tried twice, in case it was away for a moment only
    again = await connect(room, "loaded.brand.test")  # another Envoy, which has nothing yet
    assert (await again.read()).certificate().fingerprint == loaded.fingerprint

    await room.mount.openbao.unseal()
    await client.unsubscribe("cold.brand.test")  # as Envoy does

    async def handshake() -> bool:
        await client.subscribe("cold.brand.test")
        said = await client.read()
        if said.removed:
            await client.unsubscribe("cold.brand.test")
            return False
        return said.certificate().fingerprint == cold.fingerprint

    await eventually(handshake)
    assert client.held.keys() == {"loaded.brand.test", "cold.brand.test"}
    again.close()


async def test_a_renewal_that_cannot_be_fetched_leaves_the_old_certificate_and_is_pushed_later(room, client):
    entry = await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    certificate = room.authority.issue("shop.brand.test")
    version = await room.store(certificate_path(UUID(entry.domain_id)), certificate)
    await room.mount.openbao.seal()
    room.put(changed(entry, fingerprint=certificate.fingerprint, vault_version=version))
    await client.nothing_is_said()
    second = await connect(room, "shop.brand.test")  # which has nothing: the old one is better
    assert (await second.read()).certificate().fingerprint == entry.fingerprint
    await room.mount.openbao.unseal()
    for waiting in (client, second):
        said = await served_by_itself(waiting, "shop.brand.test")
        assert said.certificate().fingerprint == certificate.fingerprint
    second.close()


async def test_a_name_that_stays_subscribed_is_served_once_vault_is_back(room, client):
    """As a certificate that Envoy's configuration names, which is not asked for again."""
    await room.store_platform()
    await room.mount.openbao.seal()
    await client.subscribe("default")
    assert (await client.read()).removed == ("default",)
    await room.mount.openbao.unseal()
    assert list((await client.read()).served) == ["default"]
    assert room.service.counters.retries > 0


async def test_an_envoy_that_reconnects_while_vault_is_sealed_is_told_nothing(room, client, eventually):
    entry = await room.add("shop.brand.test")
    await room.store_platform()
    room.add_platform("acme")
    names = ["shop.brand.test", "default", f"acme.{secrets.PLATFORM}"]
    await client.subscribe(*names)
    await client.read_until(lambda: len(client.held) == 3)
    client.close()
    certificate = room.authority.issue("shop.brand.test")
    version = await room.store(certificate_path(UUID(entry.domain_id)), certificate)
    await room.mount.openbao.seal()
    room.secrets.forget("shop.brand.test")
    room.platform.current = None  # as in a sidecar that was restarted
    room.put(changed(entry, fingerprint=certificate.fingerprint, vault_version=version))
    again = await connect(room, *names, initial_resource_versions=client.held)
    await again.nothing_is_said()
    await room.mount.openbao.unseal()
    assert (await served_by_itself(again, "shop.brand.test")).certificate().fingerprint == certificate.fingerprint
    await eventually(lambda: room.platform.current is not None)
    await again.nothing_is_said()  # the platform's is the one it has
    again.close()


async def test_a_vault_that_hangs_costs_a_handshake_less_than_envoys_timeout(room, client):
    await room.add("shop.brand.test")
    for number in range(100):
        await room.add(f"n{number}.brand.test")
    pid = room.mount.openbao.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        names = [f"n{number}.brand.test" for number in range(100)]
        await client.subscribe(*names)
        removed: list[str] = []
        while len(removed) < 100:
            removed += (await client.read()).removed
        assert time.monotonic() - started < ENVOY_CONNECT_TIMEOUT
        assert ANSWER_DEADLINE < ENVOY_CONNECT_TIMEOUT
        # unknown names do not wait for Vault
        started = time.monotonic()
        await client.nothing_is_said()
        assert time.monotonic() - started < 1.0
    finally:
        os.kill(pid, signal.SIGCONT)
    said = await served_by_itself(client, "n7.brand.test")
    assert said.certificate().names == ("n7.brand.test",)


async def test_names_that_no_one_knows_are_refused_while_a_load_is_under_way(room, client):
    await room.add("slow.brand.test")
    pid = room.mount.openbao.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await client.subscribe("slow.brand.test")
        await client.subscribe("nobody.test")
        assert (await client.read()).removed == ("nobody.test",)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert list((await client.read()).served) == ["slow.brand.test"]


async def test_a_certificate_that_is_not_fit_is_not_sent(room, client):
    entry = await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    expired = await room.renew(entry, since=timedelta(days=-9), until=timedelta(days=-1))
    await client.nothing_is_said()
    await room.add("cold.brand.test", "other.brand.test")
    await client.subscribe("cold.brand.test")
    assert (await client.read()).removed == ("cold.brand.test",)
    assert room.service.counters.removed_unfit == 1
    assert room.service.stats()["fetch_failures"] == 2
    good = await room.renew(expired)
    assert (await client.read()).certificate().fingerprint == good.fingerprint


async def test_a_certificate_that_expired_in_memory_is_not_given_to_a_cold_client(room, client, eventually):
    entry = await room.add("shop.brand.test", since=timedelta(days=-9), until=timedelta(seconds=1.5))
    await client.subscribe("shop.brand.test")
    assert (await client.read()).served
    await eventually(lambda: time.time() > entry.not_after)
    cold = await connect(room, "shop.brand.test")
    assert (await cold.read()).removed == ("shop.brand.test",)
    await client.nothing_is_said()
    cold.close()


def forget_everything(room) -> None:
    """The directory of a sidecar that knows no names: all are misses, and PostgreSQL is away."""
    room.directory.replace(Recent(1000))


async def test_postgresql_away_a_client_keeps_what_it_has_and_a_cold_name_fails_at_once(room, client):
    entry = await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    forget_everything(room)
    room.service.on_change(frozenset({"shop.brand.test"}))
    started = time.monotonic()
    await client.subscribe("cold.brand.test")
    assert (await client.read()).removed == ("cold.brand.test",)
    assert time.monotonic() - started < ANSWER_DEADLINE
    again = await connect(room, "shop.brand.test", initial_resource_versions=client.held)
    await again.subscribe("probe.test")
    assert (await again.read()).removed == ("probe.test",)
    assert "shop.brand.test" in client.held
    room.put(entry)
    room.directory.replace(Everything({entry.hostname: entry}))
    await again.unsubscribe("probe.test")
    await again.nothing_is_said()
    again.close()


async def test_a_stale_directory_takes_nothing_away(room, client):
    """What its snapshot does not have may have been registered since."""
    await room.add("shop.brand.test")
    await client.subscribe("shop.brand.test")
    await client.read()
    client.close()
    room.directory.replace(Everything())
    room.directory.fresh_for(0)
    again = await connect(room, "shop.brand.test", "nobody.test", initial_resource_versions=client.held)
    assert (await again.read()).removed == ("nobody.test",)
    await again.nothing_is_said()
    room.directory.fresh_for(60)
    assert (await again.read()).removed == ("shop.brand.test",)
    again.close()


async def test_a_change_during_a_load_is_answered_with_the_change(room, client):
    entry = await room.add("shop.brand.test")
    certificate = room.authority.issue("shop.brand.test")
    version = await room.store(certificate_path(UUID(entry.domain_id)), certificate)
    pid = room.mount.openbao.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await client.subscribe("shop.brand.test")
        await client.nothing_is_said()  # so it was read
        room.put(changed(entry, fingerprint=certificate.fingerprint, vault_version=version))
        await asyncio.sleep(0)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await client.read()).certificate().fingerprint == certificate.fingerprint
    await client.nothing_is_said()
