"""Two CAs in the operator's order, the first of which goes away, is full, or is asked for what the tenant got wrong."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from scenes.issuance import SHORT, WRONG, Replica, Scene, ca_of, find_registered

from control.certificates.authorities import FAILURES
from control.jobs import Again, Done
from control.limits.gcra import Rate
from control.limits.limits import Limits
from control.limits.policy import NONE, ORDER
from core.vault import pending_key_path
from embedded.ari import AriFront
from embedded.pebble import Pebble


@dataclass
class Two:
    """`first`: one of the test's own, which it may stop. `second`: the session's."""

    scene: Scene
    first: Pebble
    second: Pebble
    replica: Replica

    async def issued_by(self, domain_id) -> str:
        facts = await self.scene.row("certificates", domain_id)
        return {self.first.directory_url: "first", self.second.directory_url: "second"}[facts["directory_url"]]

    async def obtain(self):
        await self.scene.time_passes()
        return await self.replica.obtain(limits=SHORT)


@pytest.fixture
async def two(scene: Scene, state_dir, pebble, dns_server):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            Pebble.start(state_dir, dns_server=dns_server.address, http_port=pebble.http_port, no_sleep=True)
        )
        cas = [
            ca_of({"directory_url": one.directory_url, "ca_file": str(one.ca_bundle)}, name)
            for name, one in (("first", first), ("second", pebble))
        ]
        # At the first there is room for one order an hour.
        small = [replace(ORDER, rate=Rate(1, ORDER.rate.interval * 100))]
        limits = Limits(find_registered, {first.directory_url: small}, default=NONE)
        replica = await stack.enter_async_context(Replica.start(scene.wiring, cas=cas, limits=limits))
        yield Two(scene, first, pebble, replica)


async def test_the_first_is_used_while_it_answers_and_has_room_and_the_second_when_its_limit_is_reached(two):
    shops = [await two.scene.domain("one")]
    assert await two.obtain() == Done()
    shops.append(await two.scene.domain("two"))
    assert await two.obtain() == Done()
    assert [await two.issued_by(one) for one in shops] == ["first", "second"]


async def test_with_both_at_their_limits_it_waits_for_the_one_that_has_room_first(two, scene):
    limits = Limits(find_registered, default=[replace(ORDER, rate=Rate(1, ORDER.rate.interval * 100))])
    two.replica.ledger.orders._limits = limits
    for label in ("one", "two"):
        await scene.domain(label)
        assert await two.obtain() == Done()
    waiting = await scene.domain("three")
    outcome = await two.obtain()
    assert isinstance(outcome, Again)
    assert 50 * 60 < outcome.delay.total_seconds() <= 61 * 60
    row = await scene.row("custom_domains", waiting)
    assert row["failure_count"] == 0
    assert "limit_account_orders" in row["next_attempt"]
    assert await scene.count("acme_orders", f"domain_id = '{waiting}'") == 0


async def test_with_the_first_away_from_the_start_the_second_is_asked_in_the_same_run(two, scene):
    shop = await scene.domain("one")
    await two.first.process.stop()
    assert await two.obtain() == Done()
    assert await two.issued_by(shop) == "second"


async def test_the_second_takes_over_when_the_first_goes_away_while_it_is_used(two, scene):
    shop = await scene.domain("one")
    await next(iter(two.replica.authorities)).client()
    await two.first.process.stop()
    outcomes = [await two.obtain()]
    while outcomes[-1] != Done() and len(outcomes) <= FAILURES:
        outcomes.append(await two.obtain())
    assert isinstance(outcomes[0], Again)
    assert outcomes[-1] == Done()
    assert await two.issued_by(shop) == "second"
    row = await scene.row("custom_domains", shop)
    assert (row["status"], row["failure_count"], row["ssl_finding"]) == ("active", 0, None)
    assert await scene.replica.vault.read(pending_key_path(shop)) is None


async def test_a_mistake_of_the_tenant_is_not_taken_to_another_ca(two, scene):
    shop = await scene.domain("one")
    scene.answers[f"one.{scene.zone}"] = WRONG
    assert isinstance(await two.obtain(), Again)
    row = await scene.row("custom_domains", shop)
    assert row["failure_count"] == 1
    directories = await two.replica.pool.fetch("SELECT DISTINCT directory_url FROM acme_orders")
    assert [one["directory_url"] for one in directories] == [two.first.directory_url]


async def test_each_certificate_is_revoked_at_the_ca_that_issued_it(two, scene):
    for label in ("one", "two"):
        shop = await scene.domain(label)
        assert await two.obtain() == Done()
        serial = (await scene.row("certificates", shop))["serial"]
        issuer = await two.issued_by(shop)
        await scene.delete(shop)
        await scene.time_passes()
        assert await two.replica.revoke() == Done()
        pebble = two.first if issuer == "first" else two.second
        assert await replace(scene, pebble=pebble).status_at_ca(serial) == "Revoked"


async def test_a_ca_that_is_away_holds_up_no_revocation_at_another(two, scene):
    shop = await scene.domain("one")
    assert await two.obtain() == Done()
    await scene.replica.pool.execute("UPDATE custom_domains SET ssl_status = 'expiring'")
    await scene.replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", shop)
    assert await two.obtain() == Done()
    await two.first.process.stop()
    await scene.delete(shop)
    await scene.time_passes()
    assert isinstance(await two.replica.revoke(), Again)
    revoked = await scene.replica.pool.fetch("SELECT directory_url FROM certificates WHERE revoked_at IS NOT NULL")
    assert [row["directory_url"] for row in revoked] == [two.second.directory_url]


async def test_an_order_that_was_sent_to_a_ca_that_is_away_does_not_ask_it_every_few_seconds(two, scene):
    await scene.domain("one")

    class Cut(Exception):
        pass

    def cut(step):
        if step == "order_known":
            raise Cut

    await scene.time_passes()
    job = await two.replica.claim()
    with pytest.raises(Cut):
        await two.replica.obtainer(cut, limits=SHORT).obtain(job)
    await two.first.process.stop()
    outcomes = [await two.obtain() for _ in range(FAILURES + 1)]
    assert outcomes[-1].delay.total_seconds() >= 60


async def test_one_that_does_not_take_the_order_is_passed_over_for_the_next(scene: Scene, state_dir, pebble):
    async with AriFront.start(state_dir, pebble) as front:
        cas = [
            ca_of({"directory_url": front.directory_url, "ca_file": str(front.ca_bundle)}, "first"),
            ca_of(scene.wiring, "second"),
        ]
        async with Replica.start(scene.wiring, cas=cas, limits=Limits(find_registered, default=NONE)) as replica:
            shop = await scene.domain("one")
            front.refuse("newOrder", "malformed", times=50)
            assert isinstance(await replica.obtain(limits=SHORT), Again)
            await scene.time_passes()
            assert await replica.obtain(limits=SHORT) == Done()
            assert (await scene.row("certificates", shop))["directory_url"] == pebble.directory_url
