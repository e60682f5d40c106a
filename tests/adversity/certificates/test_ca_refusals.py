"""What a CA refuses on the way to a certificate, and what the domain shows of it."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack

import pytest
from scenes.issuance import SHORT, Replica, Scene, ca_of

from control.jobs import Again, Done
from embedded.ari import AriFront
from embedded.pebble import Pebble

ORDERS = "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-01-01 00:00:00 UTC"


@pytest.fixture
async def front(state_dir, pebble):
    """The session's Pebble as a CA that can refuse."""
    async with AriFront.start(state_dir, pebble) as front:
        yield front


@pytest.fixture
async def replica_of(scene: Scene):
    """`await replica_of(front, pebble)`: a control process with these CAs, first choice first."""
    async with AsyncExitStack() as stack:

        async def start(*cas, **settings):
            named = [
                ca_of({"directory_url": ca.directory_url, "ca_file": str(ca.ca_bundle)}, f"ca{number}").model_copy(
                    update=settings
                )
                for number, ca in enumerate(cas)
            ]
            return await stack.enter_async_context(Replica.start(scene.wiring, cas=named))

        yield start


async def obtained(scene, replica):
    await scene.time_passes()
    return await replica.obtain(limits=SHORT)


async def test_a_limit_that_only_the_ca_knew_of_sends_the_order_to_the_next_one(scene, front, pebble, replica_of):
    replica = await replica_of(front, pebble)
    shop = await scene.domain("one")
    front.refuse("newOrder", "rateLimited", 429, detail=ORDERS, retry_after="7200")
    assert isinstance(await obtained(scene, replica), Again)
    row = await scene.row("custom_domains", shop)
    assert row["failure_count"] == 0
    assert (await scene.finding(shop))["code"] == "ca_rate_limited"
    assert await obtained(scene, replica) == Done()
    assert (await scene.row("certificates", shop))["directory_url"] == pebble.directory_url


async def test_with_one_ca_its_wish_is_waited_for(scene, front, replica_of):
    replica = await replica_of(front)
    await scene.domain("one")
    front.refuse("newOrder", "rateLimited", 429, detail=ORDERS, retry_after="7200")
    outcome = await obtained(scene, replica)
    assert isinstance(outcome, Again)
    assert outcome.delay.total_seconds() >= 7199


async def test_a_busy_ca_is_left_alone_for_as_long_as_it_says(scene, front, pebble, replica_of):
    replica = await replica_of(front, pebble)
    shop = await scene.domain("one")
    front.refuse("newOrder", "rateLimited", 503, retry_after="600")
    assert isinstance(await obtained(scene, replica), Again)
    assert await obtained(scene, replica) == Done()
    assert (await scene.row("certificates", shop))["directory_url"] == pebble.directory_url


async def test_a_binding_that_is_missing_is_the_operators_and_another_ca_issues_meanwhile(
    scene, front, pebble, replica_of
):
    shop = await scene.domain("one")
    alone = await replica_of(front, eab=True)
    assert isinstance(await obtained(scene, alone), Again)
    row, found = await scene.row("custom_domains", shop), await scene.finding(shop)
    assert row["failure_count"] == 0
    assert (found["code"], found["who"]) == ("ca_eab_missing", "operator")
    both = await replica_of(front, pebble)
    next(iter(both.authorities)).account._eab = True
    assert await obtained(scene, both) == Done()
    assert (await scene.row("certificates", shop))["directory_url"] == pebble.directory_url


async def test_a_profile_that_the_ca_does_not_list_is_the_operators_too(scene, front, replica_of):
    replica = await replica_of(front, profile="tlsserver")
    shop = await scene.domain("one")
    assert isinstance(await obtained(scene, replica), Again)
    found = await scene.finding(shop)
    assert (found["code"], found["who"]) == ("ca_profile_unknown", "operator")
    assert (await scene.row("custom_domains", shop))["failure_count"] == 0


async def test_a_ca_that_has_forgotten_everything_issues_on_the_next_try(
    scene, state_dir, dns_server, pebble, ports, replica_of
):
    (port,) = ports(1)

    def ca(name):
        return Pebble.start(
            state_dir,
            dns_server=dns_server.address,
            http_port=pebble.http_port,
            port=port,
            no_sleep=True,
            name=name,
        )

    async with ca("first") as first:
        replica = await replica_of(first)
        await scene.domain("one")
        assert await obtained(scene, replica) == Done()
        await scene.domain("two")

        class Cut(Exception):
            pass

        def cut(step):
            if step == "order_known":
                raise Cut

        await scene.time_passes()
        job = await replica.claim()
        with pytest.raises(Cut):
            await replica.obtainer(cut, limits=SHORT).obtain(job)
    async with ca("second") as second:
        shutil.copy(second.ca_bundle, first.ca_bundle)
        outcomes = [await obtained(scene, replica)]
        if outcomes[0] != Done():
            outcomes.append(await obtained(scene, replica))
        assert outcomes[-1] == Done()
    counts = await replica.pool.fetch("SELECT failure_count, status FROM custom_domains")
    assert {tuple(row) for row in counts} == {(0, "active")}


async def test_a_renewal_whose_replaces_is_refused_is_paid_for_as_a_plain_order(scene, front, replica_of):
    replica = await replica_of(front)
    shop = await scene.domain("one")
    assert await obtained(scene, replica) == Done()
    await replica.pool.execute("UPDATE rate_buckets SET tat = clock")
    await replica.pool.execute(
        """UPDATE certificates SET ari_window = tstzrange(now() - interval '1 hour', now() + interval '1 hour')"""
    )
    for refused in (False, True):
        await replica.pool.execute("UPDATE custom_domains SET ssl_status = 'expiring' WHERE id = $1", shop)
        await replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", shop)
        if refused:
            front.refuse("newOrder", "alreadyReplaced", 409)
        assert await obtained(scene, replica) == Done()
        assert bool(await scene.count("rate_buckets", "bucket = 'order' AND tat > clock")) == refused
        await replica.pool.execute(
            """UPDATE certificates SET ari_window = tstzrange(now() - interval '1 hour', now() + interval '1 hour')"""
        )
    assert len(front.replaced) == 1
