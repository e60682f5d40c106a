"""Names that the directory does not hold, with a real PostgreSQL behind it."""

from __future__ import annotations

import asyncio
import time

import pytest
from scenes import edge, secrets
from scenes.secrets import DeltaClient

from sidecar.directory.audience import ANY_NAME
from sidecar.directory.entry import Unknown
from sidecar.directory.rows import Recent


@pytest.fixture
async def room(vault_mount, database, state_dir):
    async with secrets.room(vault_mount, state_dir, dsn=database.sidecar_dsn) as made:
        made.directory.replace(Recent(1000))  # incomplete: what it does not hold it does not know
        yield made


async def test_a_name_that_is_not_in_memory_is_loaded_once_and_served(room, database, pki, state_dir):
    platform = edge.create(state_dir, database, room.mount, pki)
    await platform.add_domain(await platform.add_tenant("acme"), "shop.brand.test")
    async with room.channel() as channel:
        clients = [DeltaClient(channel) for _ in range(20)]
        await asyncio.gather(*(client.subscribe("shop.brand.test") for client in clients))
        said = await asyncio.gather(*(client.read() for client in clients))
        for client in clients:
            client.close()
    assert {answer.certificate().names for answer in said} == {("shop.brand.test",)}
    assert room.source.loads == 1
    assert room.secrets.fetches == 1


async def test_a_name_that_nobody_has_is_looked_for_once(room, client):
    for _ in range(5):
        await client.subscribe("nobody.test")
        assert (await client.read()).removed == ("nobody.test",)
        await client.unsubscribe("nobody.test")
    assert room.source.loads == 1
    assert room.service.counters.removed_unknown == 5


async def test_more_unknown_names_than_the_budget_are_refused_all_the_same(room, client):
    names = [f"n{number}.nobody.test" for number in range(1500)]
    started = time.monotonic()
    await client.subscribe(*names)
    removed: set[str] = set()
    while len(removed) < len(names):
        removed.update((await client.read()).removed)
    counters = room.service.counters
    assert counters.removed_unknown + counters.removed_unavailable == len(names)
    # A second's worth is saved up at the start; a slow machine earns more while it goes on.
    assert room.source.loads <= secrets.LOADS_PER_SECOND * (1 + time.monotonic() - started)
    assert room.source.loads >= counters.removed_unknown


async def test_names_that_may_have_gone_are_looked_up_again_and_only_what_went_is_removed(
    room, client, database, pki, state_dir
):
    """After the directory was read anew, which cannot tell of names that it did not hold."""
    platform = edge.create(state_dir, database, room.mount, pki)
    tenant = await platform.add_tenant("acme")
    gone = await platform.add_domain(tenant, "gone.brand.test")
    await platform.add_domain(tenant, "stays.brand.test")
    await client.subscribe("gone.brand.test", "stays.brand.test")
    await client.read_until(lambda: len(client.held) == 2)
    await platform.delete_domain(gone)
    room.directory.replace(Recent(1000))
    room.directory.fresh_for(60)
    room.service.on_change(frozenset({ANY_NAME}))
    assert (await client.read()).removed == ("gone.brand.test",)
    await client.nothing_is_said()
    assert room.secrets.fetches == 2
    assert [hostname for hostname, _ in room.service.expiries()] == []


async def test_the_key_of_a_name_that_went_is_forgotten_also_when_its_wildcard_is_not_known(
    room, client, database, pki, state_dir
):
    platform = edge.create(state_dir, database, room.mount, pki)
    domain = await platform.add_domain(await platform.add_tenant("acme"), "gone.brand.test")
    await client.subscribe("gone.brand.test")
    await client.read_until(lambda: bool(client.held))
    await platform.delete_domain(domain)
    room.directory.replace(Recent(1000))
    room.remove("gone.brand.test")
    assert room.directory.lookup("gone.brand.test") is Unknown.MISS
    assert [hostname for hostname, _ in room.service.expiries()] == []
    assert (await client.read()).removed == ("gone.brand.test",)
