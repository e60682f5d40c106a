"""The queue's statements beside hundreds of thousands of rows that are settled: none reads them."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from control.outbox import sql
from control.outbox.alerts import CaAlerts
from control.outbox.message import Failed
from control.outbox.queue import LeaseGone, Queue

SETTLED = 60_000

FILL = """WITH events AS (
    INSERT INTO outbox (tenant_id, domain_id, event, payload, dispatched_at)
    SELECT $1, gen_random_uuid(), 'domain.verify', '{}', now() FROM generate_series(1, $3::int) RETURNING id, domain_id)
    INSERT INTO deliveries (endpoint_id, tenant_id, outbox_id, lane, state, settled_at)
    SELECT $2, $1, id, domain_id, CASE WHEN id % 100 = 0 THEN 'dead' ELSE 'delivered' END, now() FROM events"""


@pytest.fixture
async def endpoint(pool) -> tuple[UUID, UUID]:
    """With a long history. → its id, its tenant"""
    tenant = uuid4()
    endpoint = await pool.fetchval(
        """INSERT INTO notification_endpoints (tenant_id, kind, address) VALUES ($1, 'webhook', 'https://x.example/')
           RETURNING id""",
        tenant,
    )
    await pool.execute(FILL, tenant, endpoint, SETTLED)
    await pool.execute(
        """INSERT INTO outbox (tenant_id, domain_id, event, payload)
           SELECT $1, gen_random_uuid(), 'domain.verify', '{}' FROM generate_series(1, 300)""",
        tenant,
    )
    return endpoint, tenant


def touched(plan: dict[str, Any]) -> int:
    """Rows that the plan read, those that it threw away included."""
    own = plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"]
    if "Relation Name" in plan:
        own += plan["Actual Rows"] * plan["Actual Loops"]
    return int(own) + sum(touched(child) for child in plan.get("Plans", ()))


async def cost(connection: asyncpg.Connection[Any], statement: str, *arguments: Any) -> int:
    transaction = connection.transaction()
    await transaction.start()
    try:
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    finally:
        await transaction.rollback()
    return touched(json.loads(text)[0]["Plan"])


async def test_no_statement_reads_what_is_settled(database, pool, endpoint, scene) -> None:
    which, _ = endpoint
    superuser = await asyncpg.connect(database.superuser_dsn)
    await superuser.execute("ANALYZE outbox, deliveries, notification_endpoints")
    await superuser.close()
    queue, now = Queue(pool), scene.clock()
    async with pool.acquire() as connection:
        assert await cost(connection, sql.UNDISPATCHED, 500) <= 300
        assert await queue.dispatch(now) == 300
        [claim] = await queue.claim(now, 5, timedelta(seconds=60), failing=False)
        [due, *_] = await queue.due(claim, now, 4, [])
        for statement, *arguments in (
            (sql.CLAIM, now, 5, timedelta(seconds=60), False),
            (sql.DUE, which, now, 4, [], claim.lease),
            (sql.PROMOTE, [which], [due.lane], now),
            (sql.DELIVERED, due.message.id, now),
            (sql.RELEASE, which),
            (sql.NEXT_DUE, False),
        ):
            assert await cost(connection, statement, *arguments) < 2_000, statement


async def test_a_lane_has_one_due_delivery_however_it_is_filled(pool, scene) -> None:
    endpoint, tenant, _ = await scene.endpoint("https://x.example/")
    domain = uuid4()
    for _ in range(3):
        await scene.happen(tenant, domain=domain, hostname="a.example")
    for _ in range(2):
        await scene.queue.dispatch(scene.clock())
    await scene.happen(tenant, domain=domain, hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    rows = await pool.fetch(
        "SELECT due_at IS NOT NULL AS due FROM deliveries WHERE endpoint_id = $1 ORDER BY 1", endpoint
    )
    assert [row["due"] for row in rows] == [False, False, False, True]


async def test_a_message_is_signed_as_the_endpoint_says_when_it_is_sent_not_when_its_turn_began(pool, scene) -> None:
    _, tenant, _ = await scene.endpoint("https://x.example/")
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    await scene.queue.dispatch(scene.clock())
    [claim] = await scene.queue.claim(scene.clock(), 2, timedelta(seconds=60), failing=False)
    await pool.execute("UPDATE notification_endpoints SET secret_version = 2")
    [due] = await scene.queue.due(claim, scene.clock(), 2, [])
    assert (claim.receiver.secret_version, due.receiver.secret_version) == (1, 2)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_becomes_of_messages_and_replicas_a_lane_keeps_its_order(pool, scene, seed) -> None:
    """Outcomes, lost leases, late marks and moments are drawn; what was sent is held against what happened."""
    draw = random.Random(seed)
    tenant, domains = uuid4(), [uuid4() for _ in range(3)]
    endpoints = [(await scene.endpoint("https://x.example/", tenant))[0] for _ in range(2)]
    happened: dict[UUID, int] = dict.fromkeys(domains, 0)
    sent: dict[tuple[UUID, UUID], list[int]] = {(e, d): [] for e in endpoints for d in domains}
    settled: set[tuple[UUID, UUID, int]] = set()
    lease = timedelta(seconds=60)

    async def turn(*, honest: bool) -> None:
        claims = [*await scene.queue.claim(scene.clock(), 2, lease, failing=False)]
        claims += await scene.queue.claim(scene.clock(), 2, lease, failing=True)
        for claim in claims:
            dues = await scene.queue.due(claim, scene.clock(), 2, [])
            assert len({due.lane for due in dues}) == len(dues)
            lost = not honest and draw.random() < 0.2
            if lost:  # it was paused for too long: another replica may have the endpoint by now
                await pool.execute("UPDATE notification_endpoints SET lease_until = now() - interval '1 second'")
                await scene.queue.claim(scene.clock(), 2, timedelta(0), failing=draw.random() < 0.5)
            for due in dues:
                where = (claim.receiver.id, due.lane)
                number = int(due.message.payload["by"])
                assert (*where, number) not in settled
                sent[where].append(number)
                result = "taken" if honest else draw.choice(["taken", "again", "dead", "silence"])
                try:
                    if result == "taken":
                        await scene.queue.taken(claim, due, scene.clock())
                    elif result in ("again", "dead"):
                        wait = timedelta(seconds=draw.randrange(5)) if result == "again" else None
                        await scene.queue.failed(claim, due, Failed("refused", "x"), wait, scene.clock())
                except LeaseGone:
                    assert lost
                    continue
                if result in ("taken", "dead"):
                    settled.add((*where, number))
            if honest or draw.random() < 0.8:
                await scene.queue.release(claim)
            else:  # it was killed
                await pool.execute("UPDATE notification_endpoints SET lease_until = now() - interval '1 second'")

    for _ in range(60):
        match draw.randrange(4):
            case 0:
                domain = draw.choice(domains)
                await scene.happen(tenant, domain=domain, hostname="a.example", by=str(happened[domain]))
                happened[domain] += 1
            case 1:
                await scene.queue.dispatch(scene.clock())
            case 2:
                await turn(honest=False)
            case 3:
                scene.clock.ahead += timedelta(seconds=draw.randrange(4))
        heads = await pool.fetch("SELECT endpoint_id, lane FROM deliveries WHERE due_at IS NOT NULL")
        assert len(set(heads)) == len(heads)
    await scene.queue.dispatch(scene.clock())
    await pool.execute("UPDATE notification_endpoints SET lease_until = NULL")
    while await pool.fetchval("SELECT EXISTS (SELECT FROM deliveries WHERE state = 'pending')"):
        scene.clock.ahead += timedelta(seconds=5)
        await turn(honest=True)
    for (_, domain), numbers in sent.items():
        assert list(dict.fromkeys(numbers)) == list(range(happened[domain]))
        assert numbers == sorted(numbers)


async def test_the_admin_is_told_once_that_a_ca_is_out_and_once_that_it_is_back(pool) -> None:
    replicas = [CaAlerts(pool), CaAlerts(pool)]
    until = datetime(2026, 4, 22, 3, tzinfo=UTC)

    async def told(*events: str) -> bool:
        rows = await pool.fetch("SELECT event FROM outbox WHERE payload->>'ca' = 'first' ORDER BY id")
        return [row["event"] for row in rows] == list(events)

    async def settled() -> None:
        await asyncio.gather(*(task for replica in replicas for task in replica._tasks))

    for replica in replicas:
        replica.back("first")  # at a start, of one that was never out
        replica.back("second")
    await settled()
    assert await told()
    for replica in replicas * 3:
        replica.out("first", until)
    await settled()
    assert await told("ca.out")
    for replica in replicas:
        replica.back("first")
    await settled()
    assert await told("ca.out", "ca.back")
    replicas[0].out("first", until)
    replicas[0].back("first")
    await settled()
    assert await told("ca.out", "ca.back", "ca.out", "ca.back")
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE payload->>'ca' = 'second'") == 0
