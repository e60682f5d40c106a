"""What a run leaves unfinished is neither waited for nor counted wrongly, however long ago it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from scenes.issuance import SHORT, Replica, Scene, ca_of, find_registered

from control.certificates import backoff
from control.certificates.choice import PreflightFailed
from control.certificates.patience import OutOfPatience
from control.certificates.troubles import GIVEN_UP, NEXT_CA, PAUSED
from control.jobs import Again, Done
from control.limits.gcra import Rate
from control.limits.limits import Limits
from control.limits.policy import ORDER
from core.domain import Finding
from core.vault import pending_key_path
from embedded.ari import AriFront

HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The process did not come to the next line."""


def at(step: str, error: BaseException) -> Callable[[str], None]:
    def on_step(name: str) -> None:
        if name == step:
            raise error

    return on_step


async def obtained(scene: Scene, replica: Replica, **arguments):
    await scene.time_passes()
    return await replica.obtain(**{"limits": SHORT, **arguments})


async def due(scene: Scene, domain_id) -> None:
    """A renewal is begun."""
    await scene.replica.pool.execute("UPDATE custom_domains SET ssl_status = 'expiring' WHERE id = $1", domain_id)
    await scene.replica.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", domain_id)


# --- paused with a certificate


class Findings:
    """A pre-flight that finds `wrong`."""

    def __init__(self) -> None:
        self.wrong = True

    async def usable(self, _domain, candidates, _kind):
        if self.wrong:
            raise PreflightFailed(Finding("caa_forbids", "CAA.", "tenant", datetime.now(UTC), {}))
        return candidates


@pytest.fixture
async def paused(scene: Scene):
    """A domain whose renewal has failed too often."""
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    await due(scene, domain_id)
    await scene.replica.pool.execute("UPDATE jobs SET attempts = $1", len(backoff.PREFLIGHT))
    outcome = await scene.replica.obtain(limits=replace(SHORT, failures=1), preflight=Findings())
    assert isinstance(outcome, Again)
    assert outcome.delay >= PAUSED[0]
    row = await scene.row("custom_domains", domain_id)
    assert (row["status"], row["ssl_status"], row["next_attempt"]) == ("active", "paused", None)
    return domain_id


async def test_a_paused_renewal_goes_on_by_itself_once_the_pre_flight_finds_nothing_wrong(scene, paused):
    findings, orders = Findings(), len(await scene.orders_at_ca())
    outcome = await obtained(scene, scene.replica, preflight=findings)
    assert isinstance(outcome, Again)
    assert outcome.delay >= PAUSED[0]
    row = await scene.row("custom_domains", paused)
    assert (row["ssl_status"], row["failure_count"]) == ("paused", 1)
    assert (await scene.finding(paused))["code"] == "caa_forbids"
    assert len(await scene.orders_at_ca()) == orders
    findings.wrong = False
    assert await obtained(scene, scene.replica, preflight=findings) == Done()
    row = await scene.row("custom_domains", paused)
    assert (row["status"], row["ssl_status"], row["failure_count"]) == ("active", "renewed", 0)
    assert await scene.count("audit", "action = 'ssl_resume'") == 1


async def test_a_paused_name_that_moves_away_and_comes_back_is_not_forgotten(scene, paused):
    await scene.replica.pool.execute("UPDATE custom_domains SET status = 'moved'")
    assert isinstance(await obtained(scene, scene.replica), Again)
    assert (await scene.row("custom_domains", paused))["ssl_status"] == "paused"
    await scene.replica.pool.execute("UPDATE custom_domains SET status = 'active'")
    assert await obtained(scene, scene.replica) == Done()
    assert (await scene.row("custom_domains", paused))["ssl_status"] == "renewed"


async def test_a_name_that_moves_away_just_after_its_renewal_has_another_key_at_the_next_one(scene):
    domain_id = await scene.domain()
    await scene.time_passes()
    with pytest.raises(Killed):
        await scene.replica.obtainer(at("recorded", Killed())).obtain(await scene.replica.claim())
    await scene.replica.pool.execute("UPDATE custom_domains SET status = 'moved'")
    assert await obtained(scene, scene.replica) == Done()
    assert await scene.replica.vault.read(pending_key_path(domain_id)) is None
    assert await scene.count("jobs") == 0


# --- an order that comes to no end


async def test_an_order_at_which_the_ca_comes_to_no_end_is_given_up_after_a_day(scene):
    domain_id = await scene.domain()
    late = at("challenges_answered", OutOfPatience(timedelta(0)))
    assert isinstance(await obtained(scene, scene.replica, on_step=late), Again)
    assert await scene.count("acme_orders", "state = 'open'") == 1
    await scene.replica.pool.execute("UPDATE acme_orders SET created_at = created_at - $1::interval", GIVEN_UP)
    assert isinstance(await obtained(scene, scene.replica, on_step=late), Again)
    assert await scene.count("acme_orders", "state = 'open'") == 0
    assert await obtained(scene, scene.replica) == Done()
    assert (await scene.row("custom_domains", domain_id))["status"] == "active"


@pytest.mark.parametrize("years", [-1, 20])
async def test_a_clock_that_is_wrong_costs_no_second_order(scene, years):
    domain_id = await scene.domain()
    wrong = datetime.now(UTC) + years * timedelta(days=365)
    assert isinstance(await obtained(scene, scene.replica, now=lambda: wrong), Again)
    assert (await scene.finding(domain_id))["code"].startswith("certificate_")
    assert await obtained(scene, scene.replica) == Done()
    assert len(await scene.orders_at_ca()) == 1


# --- limits


def one_order_in(interval: timedelta) -> Limits:
    return Limits(find_registered, default=[replace(ORDER, rate=Rate(1, interval))])


async def test_a_clock_that_is_ahead_does_not_spin_at_a_limit(scene):
    scene.replica.ledger.orders._limits = one_order_in(HOUR)
    await scene.domain("one")
    assert await obtained(scene, scene.replica) == Done()
    await scene.domain("two")
    outcome = await obtained(scene, scene.replica, now=lambda: datetime.now(UTC) + 2 * HOUR)
    assert isinstance(outcome, Again)
    assert outcome.delay >= NEXT_CA
    assert outcome.progress  # however often it waits, its first failure is its first


async def test_an_order_that_was_counted_long_ago_is_counted_again_before_it_is_sent(scene):
    await scene.domain()
    await scene.time_passes()
    job = await scene.replica.claim()
    with pytest.raises(Killed):
        await scene.replica.obtainer(at("order_written_down", Killed())).obtain(job)
    await scene.replica.pool.execute("UPDATE acme_orders SET created_at = created_at - interval '1 hour'")
    await scene.replica.pool.execute("UPDATE rate_buckets SET tat = clock")
    assert await obtained(scene, scene.replica) == Done()
    assert await scene.count("rate_buckets", "bucket = 'order' AND tat > clock") == 1
    assert len(await scene.orders_at_ca()) == 1


@pytest.fixture
async def front(state_dir, pebble):
    async with AriFront.start(state_dir, pebble) as front:
        yield front


async def test_an_order_that_the_ca_lists_but_does_not_have_holds_up_nothing(scene, front):
    cas = [ca_of({"directory_url": front.directory_url, "ca_file": str(front.ca_bundle)})]
    async with Replica.start(scene.wiring, cas=cas) as replica:
        domain_id = await scene.domain()
        await scene.time_passes()
        with pytest.raises(Killed):
            await replica.obtainer(at("order_sent", Killed())).obtain(await replica.claim())
        (url,) = await scene.orders_at_ca_of(replica)
        front.forget(url)
        assert await obtained(scene, replica) == Done()
        assert (await scene.row("custom_domains", domain_id))["status"] == "active"


@pytest.fixture
async def renewing(scene: Scene, front):
    """A control process, and a domain in the window of its certificate."""
    cas = [ca_of({"directory_url": front.directory_url, "ca_file": str(front.ca_bundle)})]
    async with Replica.start(scene.wiring, cas=cas) as replica:
        domain_id = await scene.domain()
        assert await obtained(scene, replica) == Done()
        await replica.pool.execute("UPDATE rate_buckets SET tat = clock")
        await replica.pool.execute(
            "UPDATE certificates SET ari_window = tstzrange(now() - interval '1 hour', now() + interval '1 hour')"
        )
        await due(scene, domain_id)
        yield replica


async def test_a_renewal_that_the_ca_takes_for_none_waits_for_room_however_often_it_is_tried(scene, front, renewing):
    renewing.ledger.orders._limits = one_order_in(HOUR)
    await renewing.pool.execute("UPDATE rate_buckets SET tat = clock + interval '1 hour' WHERE bucket = 'order'")
    for _ in range(2):
        front.refuse("newOrder", "alreadyReplaced", 409)
        assert isinstance(await obtained(scene, renewing), Again)
        assert len(await scene.orders_at_ca_of(renewing)) == 1
    await renewing.pool.execute("UPDATE rate_buckets SET tat = clock")
    front.refuse("newOrder", "alreadyReplaced", 409)
    assert await obtained(scene, renewing) == Done()
    assert await scene.count("rate_buckets", "bucket = 'order' AND tat > clock") == 1


async def test_it_is_counted_once_for_its_set_of_names(scene, front, renewing):
    front.refuse("newOrder", "alreadyReplaced", 409)
    assert await obtained(scene, renewing) == Done()
    spent = await renewing.pool.fetchval("SELECT tat - clock FROM rate_buckets WHERE bucket = 'exact_set'")
    assert spent <= timedelta(days=7) / 5
