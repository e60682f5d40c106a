"""Whose turn it is: fair between tenants, urgent renewals first, no more than there is room for, read from an index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from control import jobs as queues
from control.certificates import renewal
from control.jobs import Again, Done, Job, Jobs, Outcome, claiming
from control.worker import JobMetrics, Worker
from embedded.database import Database

DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def ids(claimed: Sequence[Job]) -> list[UUID]:
    return [job.domain_id for job in claimed]


async def served(jobs: Jobs, *, most: int = 10_000, at_once: int = 1) -> list[UUID]:
    """The domains in the order in which they are served."""
    order: list[UUID] = []
    while len(order) < most and (claimed := await jobs.claim("obtain", at_once)):
        order += ids(claimed)
        for job in claimed:
            await jobs.settle(job, Done())
    return order


async def test_a_tenant_that_imports_5000_does_not_delay_anothers_only_domain(pool, add_tenant, add_domains) -> None:
    many = await add_domains(await add_tenant(), "many", 5000)
    [one] = await add_domains(await add_tenant(), "one", 1)
    order = await served(Jobs(pool, "a"), most=5)
    assert one in order[:2]
    assert set(order[:3]) - {one} <= set(many[:3])


async def test_tenants_with_many_domains_each_have_every_second_order(pool, add_tenant, add_domains) -> None:
    first = set(await add_domains(await add_tenant(), "a", 40))
    await add_domains(await add_tenant(), "b", 10)
    order = await served(Jobs(pool, "a"), most=20)
    assert 9 <= sum(domain in first for domain in order) <= 11


async def test_a_tenant_that_adds_one_domain_after_another_does_not_starve_one_that_waits(
    pool, add_tenant, add_domains
) -> None:
    many = set(await add_domains(await add_tenant(), "many", 50))
    busy = await add_tenant()
    jobs, got = Jobs(pool, "a"), 0
    await add_domains(busy, "busy", 1)
    for number in range(20):
        [job] = await jobs.claim("obtain", 1)
        await jobs.settle(job, Done())
        if job.domain_id in many:
            got += 1
        else:
            await add_domains(busy, f"busy{number}", 1)
    assert 8 <= got <= 12


async def test_what_was_put_off_has_a_new_turn_when_its_time_has_come(pool, add_tenant, add_domains) -> None:
    """Otherwise 5,000 names of one registered domain at its limit would all come first, each time."""
    await add_domains(await add_tenant(), "many", 100)
    jobs = Jobs(pool, "a")
    for job in await jobs.claim("obtain", 100):
        await jobs.settle(job, Again(timedelta(milliseconds=1)))
    [one] = await add_domains(await add_tenant(), "one", 1)
    order = await served(jobs, most=4)
    assert one in order[:2]


async def test_a_job_that_is_given_back_keeps_its_turn(pool, add_tenant, add_domains) -> None:
    domains = await add_domains(await add_tenant(), "a", 3)
    jobs = Jobs(pool, "a")
    [job] = await jobs.claim("obtain", 1)
    await jobs.settle(job, Again(timedelta(0)))
    assert await served(jobs) == domains


async def test_renewals_and_first_certificates_take_turns_and_urgent_renewals_come_before_all(
    pool, add_tenant, add_domains, give_certificate
) -> None:
    [tenant, other] = [await add_tenant() for _ in range(2)]
    renewals = await add_domains(tenant, "r", 12)
    for number, domain in enumerate(renewals):  # the last one expires first
        left = timedelta(hours=20 - number) if number >= 8 else 25 * DAY - timedelta(hours=number)
        await give_certificate(domain, now() + left - 90 * DAY, now() + left)
    await pool.execute("UPDATE jobs SET kind = 'verify'")
    await pool.execute("UPDATE jobs SET kind = 'obtain'")
    first = await add_domains(other, "f", 8)
    order = await served(Jobs(pool, "a"))
    assert order[:4] == renewals[:7:-1]
    assert [domain for domain in order[4:] if domain in renewals] == renewals[7::-1]
    assert [domain for domain in order[4:] if domain in first] == first
    for place in range(4, len(order) - 1, 2):
        assert (order[place] in renewals) != (order[place + 1] in renewals), order


@pytest.mark.parametrize("lifetime", [timedelta(hours=160), 45 * DAY, 90 * DAY, 398 * DAY])
async def test_urgent_is_what_the_renewal_calls_so(pool, add_tenant, add_domains, give_certificate, lifetime) -> None:
    """One rule, said once in SQL and once in Python."""
    [domain] = await add_domains(await add_tenant(), "r", 1)
    start = now()
    await give_certificate(domain, start, start + lifetime)
    await pool.execute("UPDATE jobs SET kind = 'verify'")
    await pool.execute("UPDATE jobs SET kind = 'obtain'")
    urgent_at = await pool.fetchval("SELECT urgent_at FROM jobs")
    assert not renewal.urgent(start, start + lifetime, urgent_at - timedelta(seconds=1))
    assert renewal.urgent(start, start + lifetime, urgent_at + timedelta(seconds=1))


async def test_no_more_is_claimed_than_there_is_room_for_and_what_needs_none_goes_on(
    pool, add_tenant, add_domains, give_certificate
) -> None:
    tenant = await add_tenant()
    under_way, exempt, over, *others = await add_domains(tenant, "a", 9)
    await pool.execute("INSERT INTO acme_orders (domain_id, directory_url) VALUES ($1, 'https://ca.test')", under_way)
    window = (now() - DAY, now() + DAY)
    await give_certificate(exempt, now() - 60 * DAY, now() + 30 * DAY, window)
    await give_certificate(over, now() - 60 * DAY, now() + 30 * DAY, (now() - 2 * DAY, now() - DAY))
    await pool.execute("UPDATE jobs SET kind = 'verify' WHERE domain_id = ANY($1)", [exempt, over])
    await pool.execute("UPDATE jobs SET kind = 'obtain' WHERE domain_id = ANY($1)", [exempt, over])
    jobs = Jobs(pool, "a")
    assert set(ids(await jobs.claim("obtain", 16, room=0))) == {under_way, exempt}
    assert len(await jobs.claim("obtain", 16, room=2)) == 2
    assert len(await jobs.claim("obtain", 16, room=-1)) == 0
    assert len(await jobs.claim("obtain", 16, room=1000)) == len(others) + 1 - 2


async def test_a_name_of_another_kind_has_no_turn(pool, add_tenant, add_domains) -> None:
    await add_domains(await add_tenant(), "a", 1)
    await pool.execute("UPDATE jobs SET kind = 'revoke'")
    jobs = Jobs(pool, "a")
    assert await jobs.claim("obtain", 1) == []
    assert len(await jobs.claim("revoke", 1)) == 1


async def test_a_worker_takes_no_more_than_the_ca_has_room_for(pool, add_tenant, add_domains, eventually) -> None:
    """However often it looks before those that it took have come to their order."""
    await add_domains(await add_tenant(), "a", 10)
    rooms, looks, done, ordering = 0, 0, 0, asyncio.Event()

    async def room() -> int:
        nonlocal looks
        looks += 1
        worker.wake()
        return rooms

    async def obtain(job: Job) -> Outcome:
        nonlocal rooms, done
        await ordering.wait()
        rooms -= 1
        done += 1
        return Done()

    worker = Worker(Jobs(pool, "a"), "obtain", obtain, 8, JobMetrics(CollectorRegistry()), room)
    task = asyncio.create_task(worker.run())
    taken = "SELECT count(*) FROM jobs WHERE lease_token IS NOT NULL"
    try:
        for more, all_done in ((3, 3), (4, 7)):
            ordering.clear()
            rooms += more
            before = looks
            await eventually(lambda before=before: looks > before + 5)
            assert await pool.fetchval(taken) == more
            ordering.set()
            await eventually(lambda all_done=all_done: done == all_done)
        assert rooms == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await pool.fetchval("SELECT count(*) FROM jobs WHERE lease_token IS NULL") == 3


@pytest.fixture
async def crowd(database: Database, pool: asyncpg.Pool[Any]) -> asyncpg.Pool[Any]:
    """100,000 queued, half of them due, in both queues. Written without triggers, which are not what is tested."""
    owner = await asyncpg.connect(database.superuser_dsn)
    try:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(
            """INSERT INTO jobs (domain_id, kind, due, run_at, turn, expires_at, urgent_at)
               SELECT gen_random_uuid(), 'obtain', n <= 50000,
                   now() + CASE WHEN n <= 50000 THEN -1 ELSE 1 END * random() * interval '1 hour',
                   CASE WHEN n % 2 = 0 THEN n END,
                   CASE WHEN n % 2 = 1 THEN now() + n * interval '1 hour' END,
                   CASE WHEN n % 2 = 1 THEN now() + (n - 1000) * interval '1 hour' END
               FROM generate_series(1, 100000) n"""
        )
        await owner.execute("VACUUM ANALYZE jobs")
    finally:
        await owner.close()
    return pool


async def nodes(pool: asyncpg.Pool[Any], statement: str, *arguments: Any) -> list[dict[str, Any]]:
    """The plan as it was run, flat. The transaction is rolled back."""
    connection = await pool.acquire()
    try:
        transaction = connection.transaction()
        await transaction.start()
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
        await transaction.rollback()
    finally:
        await pool.release(connection)
    found: list[dict[str, Any]] = []

    def walk(node: dict[str, Any]) -> None:
        found.append(node)
        for below in node.get("Plans", []):
            walk(below)

    walk(json.loads(text)[0]["Plan"])
    return found


async def test_a_claim_among_100000_reads_no_more_rows_than_it_takes(crowd) -> None:
    lease = timedelta(seconds=15)
    for queue in (queues.URGENT, queues.RENEWALS, queues.FIRST):
        plan = await nodes(crowd, claiming(queue), 16, lease, "a")
        assert not [node for node in plan if node["Node Type"] == "Seq Scan"], plan
        read = [node for node in plan if node.get("Alias") == "j"]
        assert [(node["Node Type"], node["Actual Rows"]) for node in read] == [("Index Scan", 16)], read
        assert not [node for node in plan if "Sort" in node["Node Type"]], plan
    for queue in (queues.UNDER_WAY, queues.EXEMPT, queues.OLDEST["verify"]):
        plan = await nodes(crowd, claiming(queue), 16, lease, "a")
        assert not [node for node in plan if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "jobs"], plan
    plan = await nodes(crowd, queues.GIVE_TURNS)
    assert not [node for node in plan if node["Node Type"] == "Seq Scan"], plan
