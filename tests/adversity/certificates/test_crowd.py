"""Many domains at once: some of them broken for good, or all of them due after a day without a CA."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from scenes.issuance import SHORT, Replica, Scene, ca_of, find_registered

from control.certificates.renewals import Renewals
from control.limits.gcra import Rate
from control.limits.limits import Limits
from control.limits.policy import NONE, ORDER
from embedded.pebble import Pebble
from embedded.ports import free_port

DOMAINS = 60
BROKEN = 6
CONCURRENCY = 8


async def test_a_tenth_that_is_broken_for_good_delays_no_other(scene: Scene, eventually):
    broken = [await scene.domain(f"broken-{n}") for n in range(BROKEN)]  # first in the queue
    for n in range(BROKEN):
        scene.dns.remove(f"broken-{n}.{scene.zone}")
    good = [await scene.domain(f"good-{n}") for n in range(DOMAINS - BROKEN)]
    free = Limits(find_registered, default=NONE)  # of limits: 50 names a week below one registered domain are too few
    async with Replica.start(scene.wiring, limits=free) as replica, replica.working(CONCURRENCY) as worker:

        async def all_live() -> bool:
            return await scene.count("custom_domains", "status = 'active'") == len(good)

        await eventually(all_live, timeout=90)
        orders = "SELECT count(*) FROM acme_orders WHERE domain_id = ANY($1)"
        assert await scene.replica.pool.fetchval(orders, good) == len(good), "none had to come twice"
        failed = "SELECT count(*) FROM custom_domains WHERE id = ANY($1) AND failure_count > 0"
        assert await scene.replica.pool.fetchval(failed, broken) == BROKEN
        waiting = await scene.replica.pool.fetch("SELECT run_at - now() AS delay FROM jobs WHERE lease_token IS NULL")
        assert len(waiting) == BROKEN
        assert all(row["delay"] > timedelta(0) for row in waiting), "each waits by itself, in nobody's place"
        assert not worker._running


async def test_a_day_without_the_ca_and_everything_due_first_to_expire_first_within_the_limit(
    database, vault_mount, dns_server, dns_zone, state_dir, pebble_package, eventually
):
    number, burst = 24, 30
    async with AsyncExitStack() as stack:
        pebble = await stack.enter_async_context(
            Pebble.start(state_dir, dns_server=dns_server.address, http_port=free_port(), no_sleep=True)
        )
        scene = await stack.enter_async_context(Scene.start(database, vault_mount, pebble, dns_server, dns_zone.origin))
        limits = Limits(find_registered, default=[replace(ORDER, rate=Rate(burst, timedelta(hours=1)))])
        replica = await stack.enter_async_context(Replica.start(scene.wiring, cas=[ca_of(scene.wiring)], limits=limits))
        domains = [await scene.domain(f"shop-{n}") for n in range(number)]
        # It counts nothing for the other's limits: another directory's policy.
        async with scene.replica.working(CONCURRENCY):

            async def all_live() -> bool:
                return await scene.count("custom_domains", "status = 'active'") == number

            await eventually(all_live, timeout=60)
        await scene.replica.pool.execute("DELETE FROM rate_buckets")
        await pebble.process.stop()

        # All of them are due, the later the domain the sooner its end; and the CA is away.
        for place, domain_id in enumerate(reversed(domains)):
            await scene.replica.pool.execute(
                "UPDATE custom_domains SET renew_at = now() - interval '1 day', cert_expiry = $2 WHERE id = $1",
                domain_id,
                datetime.now(UTC) + timedelta(days=10, hours=place),
            )
        renewals = Renewals(replica.pool, "control:test", outstanding=4)
        assert await renewals.due() == 4
        for _ in range(3):
            await scene.time_passes()
            for _ in range(4):
                await replica.obtain(limits=SHORT)
        assert await renewals.due() == 0, "those that wait are enough"
        assert await scene.count("custom_domains", "failure_count > 0") == 0, "it is nobody's failure"

        back = await stack.enter_async_context(
            Pebble.start(
                state_dir,
                dns_server=dns_server.address,
                http_port=pebble.http_port,
                no_sleep=True,
                port=pebble.port,
                name="pebble-again",
            )
        )
        assert back.directory_url == pebble.directory_url
        again = await stack.enter_async_context(
            Replica.start(scene.wiring, cas=[ca_of({**scene.wiring, "ca_file": str(back.ca_bundle)})], limits=limits)
        )

        async def all_renewed() -> bool:
            await renewals.due()
            await again.pool.execute("UPDATE jobs SET run_at = now() WHERE lease_token IS NULL AND run_at > now()")
            return await scene.count("custom_domains", "ssl_status = 'renewed'") == number

        async with again.working(CONCURRENCY):
            await eventually(all_renewed, timeout=90)
        assert await scene.count("custom_domains", "status = 'active' AND failure_count = 0") == number
        begun = await again.pool.fetch("SELECT domain_id FROM audit WHERE action = 'ssl_expiring' ORDER BY id")
        assert [row["domain_id"] for row in begun] == list(reversed(domains)), "first to expire, first renewed"
        assert len(await scene.orders_at_ca_of(again)) == number
