"""From a row of the outbox to a request that a receiver verifies."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from uuid import uuid4

import pytest
from scenes.notifications import FAST
from starlette.responses import Response

from control.outbox.backoff import SCHEDULE
from control.outbox.message import Failed


async def test_what_happened_reaches_its_tenants_webhook_signed(scene, hooks, url, eventually) -> None:
    _, tenant, secret = await scene.endpoint(url("/mine"))
    await scene.endpoint(url("/others"))
    domain = uuid4()
    await scene.happen(tenant, "domain.verify", domain, hostname="a.example", to="verified", who="nobody")
    async with scene.running():
        [hook] = await eventually(lambda: hooks.at("/mine"))
        await eventually(lambda: _all(scene, ["delivered"]))
    assert hook.verified_by(secret)
    assert hook.body["type"] == "domain.verify"
    data = {"domainId": str(domain), "hostname": "a.example", "to": "verified", "who": "nobody"}
    assert hook.body["data"] == {**data, "summary": "a.example is verified"}
    assert not hooks.at("/others")


async def _all(scene, states) -> bool:
    return await scene.states() == states


async def test_a_failing_message_holds_up_its_own_domain_only_and_order_is_kept(scene, hooks, url, eventually) -> None:
    _, tenant, _ = await scene.endpoint(url())
    ill, well = uuid4(), uuid4()
    for number in range(3):
        await scene.happen(tenant, domain=ill, hostname="ill.example", by=str(number))
        await scene.happen(tenant, domain=well, hostname="well.example", by=str(number))
    hooks.answer = lambda hook: 500 if hook.subject == "ill.example" else 200

    def got(name):
        return [hook.body["data"]["by"] for hook in hooks.hooks if hook.subject == name]

    async with scene.running():
        await eventually(lambda: got("well.example") == ["0", "1", "2"])
        await eventually(lambda: got("ill.example") == ["0"])
        hooks.answer = 200
        scene.pass_time(timedelta(seconds=6))
        await eventually(lambda: got("ill.example") == ["0", "0", "1", "2"])
    ids = [hook.id for hook in hooks.hooks if hook.subject == "ill.example"]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_it_is_tried_by_the_schedule_and_then_given_up_and_the_next_has_its_turn(
    scene, hooks, url, eventually
) -> None:
    _, tenant, _ = await scene.endpoint(url())
    domain = uuid4()
    await scene.happen(tenant, domain=domain, hostname="a.example", by="first")
    hooks.answer = 500
    async with scene.running():
        for number, delay in enumerate(SCHEDULE, start=1):
            await eventually(lambda number=number: _attempts(scene, number))
            scene.pass_time(delay + timedelta(seconds=1))
        await eventually(lambda: _all(scene, ["dead"]))
        assert len(hooks.hooks) == len(SCHEDULE) + 1
        hooks.answer = 200
        await scene.happen(tenant, domain=domain, hostname="a.example", by="second")
        await eventually(lambda: _all(scene, ["dead", "delivered"]))
    told = await scene.pool.fetch("SELECT tenant_id, event FROM outbox WHERE domain_id IS NULL")
    assert [(row["tenant_id"], row["event"]) for row in told] == [(None, "notification.dead_letter")]


async def _attempts(scene, number) -> bool:
    return await scene.pool.fetchval("SELECT attempts FROM deliveries") == number


async def test_what_waited_behind_a_dead_receiver_is_tried_once_and_not_for_days_more(
    scene, hooks, url, eventually
) -> None:
    _, tenant, _ = await scene.endpoint(url())
    domain = uuid4()
    for number in range(3):
        await scene.happen(tenant, domain=domain, hostname="a.example", by=str(number))
    hooks.answer = 500
    async with scene.running():
        await eventually(lambda: len(hooks.hooks) == 1)
        await eventually(lambda: _attempts_of_first(scene, 1))
        scene.pass_time(timedelta(days=4))
        await eventually(lambda: _all(scene, ["dead", "dead", "dead"]))
    assert len(hooks.hooks) == 4


async def _attempts_of_first(scene, number) -> bool:
    return await scene.pool.fetchval("SELECT attempts FROM deliveries ORDER BY outbox_id LIMIT 1") == number


async def test_a_slow_receiver_delays_no_other(scene, hooks, url, eventually) -> None:
    """Nor its own other domains, as long as it has a place for them."""
    _, slow, _ = await scene.endpoint(url("/slow"))
    _, quick, _ = await scene.endpoint(url("/quick"))
    release = asyncio.Event()

    async def wait(hook):
        if hook.path == "/slow" and hook.subject == "slow.example":
            await release.wait()
        return 200

    hooks.answer = wait
    await scene.happen(slow, domain=uuid4(), hostname="slow.example")
    async with scene.running():
        await eventually(lambda: len(hooks.at("/slow")) == 1)
        await scene.happen(quick, domain=uuid4(), hostname="q.example")
        await scene.happen(slow, domain=uuid4(), hostname="other.example")
        await eventually(lambda: hooks.at("/quick"))
        await eventually(lambda: [hook.subject for hook in hooks.at("/slow")] == ["slow.example", "other.example"])
        release.set()
        await eventually(lambda: _all(scene, ["delivered"] * 3))


async def test_many_dead_endpoints_leave_room_for_one_that_works(scene, hooks, url, eventually, ports) -> None:
    hooks.answer = lambda hook: 200 if hook.path == "/works" else asyncio.sleep(30, 500)
    for number in range(FAST.working + 10):
        _, tenant, _ = await scene.endpoint(url(f"/dead/{number}"))
        await scene.happen(tenant, domain=uuid4(), hostname="d.example")
    # They have failed before.
    await scene.pool.execute("UPDATE notification_endpoints SET failing_since = now()")
    async with scene.running():
        await eventually(lambda: len(hooks.hooks) >= FAST.failing)
        _, tenant, _ = await scene.endpoint(url("/works"))
        await scene.happen(tenant, domain=uuid4(), hostname="w.example")
        await eventually(lambda: hooks.at("/works"), timeout=15)


async def test_410_disables_the_endpoint_and_a_test_that_succeeds_takes_it_in_use_again(
    scene, hooks, url, eventually
) -> None:
    endpoint, tenant, _ = await scene.endpoint(url("/gone"))
    await scene.endpoint(url("/second"), tenant)
    hooks.answer = lambda hook: 410 if hook.path == "/gone" else 200
    for domain in (uuid4(), uuid4()):
        for _ in range(2):
            await scene.happen(tenant, domain=domain, hostname="a.example")
    facts = "SELECT disabled_code FROM notification_endpoints WHERE id = $1"
    async with scene.running():
        await eventually(lambda: len(hooks.at("/second")) == 5)  # with the news that the first is disabled
        assert "notification.endpoint_disabled" in {hook.body["type"] for hook in hooks.at("/second")}
        assert await scene.pool.fetchval(facts, endpoint) == "gone"
        await scene.happen(tenant, domain=uuid4(), hostname="later.example")
        await eventually(lambda: len(hooks.at("/second")) == 6)
        assert "later.example" not in {hook.subject for hook in hooks.at("/gone")}
        hooks.answer = 200
        async with scene.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.current_tenant', $1, true)", str(tenant))
            await connection.fetchval("SELECT test_endpoint_v1($1)", endpoint)
        await eventually(lambda: hooks.at("/gone")[-1].body["type"] == "notification.test")

        async def enabled():
            return await scene.pool.fetchval(facts, endpoint) is None

        await eventually(enabled)


async def test_retry_after_holds_all_that_waits_for_the_endpoint(scene, hooks, url, eventually) -> None:
    _, tenant, _ = await scene.endpoint(url())
    hooks.answer = lambda hook: Response(status_code=429, headers={"retry-after": "600"})
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: _attempts(scene, 1))
        await scene.happen(tenant, domain=uuid4(), hostname="b.example")
        await eventually(lambda: _all(scene, ["pending", "pending"]))
        scene.pass_time(timedelta(seconds=300))
        hooks.answer = 200
        # Whoever delivers this one has looked at those as well.
        _, other, _ = await scene.endpoint(url("/other"))
        await scene.happen(other, domain=uuid4(), hostname="c.example")
        await eventually(lambda: len(hooks.hooks) == 2)
        assert [hook.subject for hook in hooks.hooks] == ["a.example", "c.example"]
        scene.pass_time(timedelta(seconds=301))
        await eventually(lambda: _all(scene, ["delivered"] * 3))
        assert sorted(hook.subject for hook in hooks.hooks) == ["a.example", "a.example", "b.example", "c.example"]


@pytest.mark.parametrize(
    ("status", "code"), [(301, "redirected"), (302, "redirected"), (400, "refused"), (503, "refused")]
)
async def test_only_2xx_is_delivered_and_no_redirect_is_followed(scene, hooks, url, eventually, status, code) -> None:
    _, tenant, _ = await scene.endpoint(url())
    hooks.answer = lambda hook: Response(status_code=status, headers={"location": url("/elsewhere")})
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: _attempts(scene, 1))
    assert f'"code": "{code}"' in await scene.pool.fetchval("SELECT last_attempt FROM deliveries")
    assert not hooks.at("/elsewhere")


async def test_an_endpoint_that_fails_for_days_is_disabled(scene, hooks, url, eventually) -> None:
    endpoint, tenant, _ = await scene.endpoint(url())
    hooks.answer = 500
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: _attempts(scene, 1))
        scene.pass_time(timedelta(days=5, hours=1))
        await eventually(lambda: _all(scene, ["dead"]))
    code = await scene.pool.fetchval("SELECT disabled_code FROM notification_endpoints WHERE id = $1", endpoint)
    assert code == "failing"


async def test_replicas_share_the_work_and_each_message_is_sent_once_in_its_order(
    scene, hooks, url, eventually
) -> None:
    endpoints = [await scene.endpoint(url(f"/{number}")) for number in range(5)]
    domains = [uuid4() for _ in range(4)]
    for number in range(10):
        for _, tenant, _ in endpoints:
            for domain in domains:
                await scene.happen(tenant, domain=domain, hostname=f"d{domain.hex}.example", by=str(number))
    async with scene.running(scene.another(), scene.another()):
        await eventually(lambda: len(hooks.hooks) >= 200, timeout=30)
        await eventually(lambda: _all(scene, ["delivered"] * 200))
    assert len({hook.id for hook in hooks.hooks}) == len(hooks.hooks) == 200
    for path in {hook.path for hook in hooks.hooks}:
        for name in {hook.subject for hook in hooks.hooks}:
            numbers = [int(hook.body["data"]["by"]) for hook in hooks.at(path) if hook.subject == name]
            assert numbers == list(range(10))


async def test_order_holds_when_the_receiver_fails_at_random(scene, hooks, url, eventually) -> None:
    draw = random.Random(7)
    _, tenant, _ = await scene.endpoint(url())
    hooks.answer = lambda hook: draw.choice([200, 200, 500])
    domains = [uuid4() for _ in range(3)]
    for number in range(6):
        for domain in domains:
            await scene.happen(tenant, domain=domain, hostname=domain.hex, by=str(number))

    async def all_settled():
        due = await scene.pool.fetchval("SELECT min(due_at) FROM deliveries")
        if due is not None and due > scene.clock():
            scene.pass_time(due - scene.clock())
        return {"delivered"} <= set(await scene.states()) <= {"delivered", "dead"}

    async with scene.running():
        await eventually(all_settled, timeout=30)
    for domain in domains:
        seen = [hook.body["data"]["by"] for hook in hooks.hooks if hook.subject == domain.hex]
        assert set(seen) == {str(number) for number in range(6)}
        assert seen == sorted(seen)


async def test_a_lease_that_was_lost_marks_nothing_and_it_is_sent_again_under_the_same_id(
    scene, hooks, url, eventually
) -> None:
    _, tenant, _ = await scene.endpoint(url())
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    [claim] = await scene.queue.claim(scene.clock(), 1, timedelta(seconds=60), failing=False)
    [due] = await scene.queue.due(claim, scene.clock(), 4, [])
    assert not await scene.queue.claim(scene.clock(), 1, timedelta(seconds=60), failing=False)
    await scene.pool.execute("UPDATE notification_endpoints SET lease_until = now() - interval '1 second'")
    async with scene.running():
        [hook] = await eventually(lambda: hooks.hooks)
        await eventually(lambda: _all(scene, ["delivered"]))
    assert hook.id == due.message.name
    with pytest.raises(Exception, match="lease"):
        await scene.queue.failed(claim, due, Failed("x", "y"), None, scene.clock())
    assert await scene.states() == ["delivered"]


async def test_a_deliverer_that_is_stopped_gives_its_endpoints_back(scene, hooks, url, eventually) -> None:
    _, tenant, _ = await scene.endpoint(url())
    hooks.answer = lambda hook: asyncio.sleep(30, 200) if len(hooks.hooks) == 1 else 200
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: hooks.hooks)
    assert await scene.pool.fetchval("SELECT lease_until FROM notification_endpoints") is None
    async with scene.running(scene.another()):
        await eventually(lambda: _all(scene, ["delivered"]))
    assert len({hook.id for hook in hooks.hooks}) == 1


async def test_only_chosen_events_are_sent(scene, hooks, url, eventually) -> None:
    _, tenant, _ = await scene.endpoint(url("/some"), events=["domain.ssl_issue"])
    await scene.endpoint(url("/all"), tenant)
    await scene.happen(tenant, "domain.verify", uuid4(), hostname="a.example")
    await scene.happen(tenant, "domain.ssl_issue", uuid4(), hostname="a.example")
    await scene.happen(tenant, "domain.ssl_revoke", uuid4(), hostname="a.example")
    async with scene.running():
        await eventually(lambda: len(hooks.hooks) == 3)
        await eventually(lambda: _all(scene, ["delivered"] * 3))
    assert [hook.body["type"] for hook in hooks.at("/some")] == ["domain.ssl_issue"]


async def test_a_withdrawn_endpoint_goes_with_its_secret_and_what_waits(scene, hooks, url, eventually) -> None:
    endpoint, tenant, _ = await scene.endpoint(url())
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    await scene.pool.execute("UPDATE notification_endpoints SET withdrawn_at = now() - interval '2 minutes'")
    async with scene.running():

        async def gone():
            return not await scene.pool.fetchval("SELECT count(*) FROM notification_endpoints")

        await eventually(gone)
    assert await scene.states() == []
    assert not hooks.hooks
    assert await scene.vault.read(f"nameplate/notifications/{endpoint}") is None
