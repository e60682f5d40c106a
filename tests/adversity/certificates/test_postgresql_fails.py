"""Two replicas at work, and PostgreSQL is killed and comes back in between, twice."""

from __future__ import annotations

from contextlib import AsyncExitStack

from scenes.issuance import Replica, Scene, find_registered

from control.limits.limits import Limits
from control.limits.policy import NONE
from core.vault import pending_key_path
from embedded.database import Database
from embedded.postgres import Postgres

DOMAINS = 16


async def test_every_domain_ends_with_one_certificate_and_no_order_is_sent_that_is_not_written_down(
    vault_mount, pebble, dns_server, dns_zone, state_dir, eventually
):
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(Postgres.start(state_dir, durable=True))
        database = await Database.create(postgres, "control")
        scene = await stack.enter_async_context(Scene.start(database, vault_mount, pebble, dns_server, dns_zone.origin))
        domains = [await scene.domain(f"shop-{n}") for n in range(DOMAINS)]
        for name in ("a", "b"):
            free = Limits(find_registered, default=NONE)
            replica = await stack.enter_async_context(Replica.start(scene.wiring, name, limits=free))
            await stack.enter_async_context(replica.working())

        async def live() -> int:
            return await scene.count("custom_domains", "status = 'active'")

        for part in (2, 6):

            async def so_many(part: int = part) -> bool:
                return await live() >= part

            await eventually(so_many, timeout=60)
            await postgres.kill()
            await postgres.start_again()

        async def all_live() -> bool:
            await scene.replica.pool.execute("UPDATE jobs SET run_at = now() WHERE lease_token IS NULL")
            return await live() == DOMAINS

        await eventually(all_live, timeout=90)
        for domain_id in domains:
            await scene.assert_live(domain_id)
            assert await scene.replica.vault.read(pending_key_path(domain_id)) is None
        # Those that failed meanwhile, because nobody could answer their challenges, are not in Pebble's list.
        issued = await scene.replica.pool.fetch("SELECT order_url FROM acme_orders WHERE state = 'issued'")
        at_ca = await scene.orders_at_ca()
        assert {row["order_url"] for row in issued} <= set(at_ca)
        assert len(at_ca) <= await scene.count("acme_orders"), "each was written down first"
        assert await scene.count("audit", "action = 'activate'") == DOMAINS
