"""Where a trace goes on: what a transaction says of its own is kept with jobs, changes and notifications."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from scenes.traced import PARENT, TRACE, Traced, traced

from api.auth import Principal
from api.service import Reply
from control.db.trace import tell
from control.domains.tenancy import Tenancy
from control.domains.tenants import TRACED, TenantDomains
from control.domains.transition import apply
from control.jobs import Again, Done, Jobs, become
from control.outbox.queue import Queue
from control.worker import JobMetrics, Worker
from core import trace

OTHER = f"00-{'c' * 32}-{'d' * 16}-01"
SET = "SELECT set_config('nameplate.trace', $1, true)"
ASK = "UPDATE jobs SET asked = asked + 1"


@pytest.fixture
def scene():
    with traced() as scene:
        yield scene


async def kept(pool, table: str) -> list[str | None]:
    return [row["trace"] for row in await pool.fetch(f"SELECT trace FROM {table}")]


async def in_transaction(pool, said: str | None, *statements: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        if said is not None:
            await connection.execute(SET, said)
        for statement in statements:
            await connection.execute(statement)


async def test_what_a_transaction_says_is_kept_with_what_it_makes_and_with_nothing_else(pool, add_domain) -> None:
    await add_domain("a.example", status="verified")
    statements = (
        ASK,
        "UPDATE custom_domains SET status = 'active'",
        "INSERT INTO outbox (event, payload) VALUES ('ca.out', '{}')",
    )
    await in_transaction(pool, PARENT, *statements)
    await in_transaction(pool, None, "UPDATE custom_domains SET status = 'moved'", statements[2])
    assert await kept(pool, "jobs") == [PARENT]
    assert [one for one in await kept(pool, "changes") if one] == [PARENT]
    assert await kept(pool, "outbox") == [PARENT, None]


@pytest.mark.parametrize("said", ["", "junk", PARENT + "x", PARENT[:-2] + "00", "00-" + "Z" * 32 + PARENT[35:], "é'"])
async def test_what_is_no_traceparent_is_not_kept_and_harms_nothing(pool, add_domain, said) -> None:
    await add_domain("a.example", status="verified")
    await in_transaction(pool, said, ASK, "UPDATE custom_domains SET status = 'active'")
    assert await kept(pool, "jobs") == [None]
    assert set(await kept(pool, "changes")) == {None}


async def test_a_job_belongs_to_whoever_asked_last_and_for_a_while_only(pool, add_domain) -> None:
    await add_domain("a.example")
    jobs = Jobs(pool, "a")

    async def claimed():
        (job,) = await jobs.claim("verify", 1)
        await jobs.settle(job, Again(timedelta(0)))
        return job.trace

    assert await claimed() is None
    await in_transaction(pool, OTHER, ASK)
    await in_transaction(pool, PARENT, ASK)
    assert await claimed() == PARENT
    assert await claimed() == PARENT, "tried again"
    await in_transaction(pool, None, ASK)
    assert await claimed() == PARENT, "asked for by somebody whom nobody traces"
    await pool.execute("UPDATE jobs SET traced_at = now() - interval '16 minutes'")
    assert await claimed() is None


async def test_a_job_is_a_span_of_its_trace_and_so_is_what_comes_of_it(
    pool, add_domain, scene: Traced, eventually
) -> None:
    domain_id = await add_domain("a.example", status="dns_check")
    await in_transaction(pool, PARENT, ASK)
    jobs = Jobs(pool, "a")
    seen: list[str | None] = []

    async def verify(job):
        async with pool.acquire() as connection, connection.transaction():
            await apply(connection, domain_id, "ownership_proven", "control:test", lease=job.lease_token)
            await become(connection, job, "obtain")
        return Done()

    async def obtain(job):
        seen.append(job.trace)
        return Done()

    metrics = JobMetrics(CollectorRegistry())
    workers = [
        Worker(jobs, kind, handler, 1, metrics, tracer=scene.tracer)
        for kind, handler in (("verify", verify), ("obtain", obtain))
    ]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    await eventually(lambda: seen)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    first, transition, second = scene.spans()
    assert [span.name for span in (first, transition, second)] == ["job verify", "transition", "job obtain"]
    assert {span.trace_id for span in scene.spans()} == {TRACE}
    assert (transition.parent_id, second.parent_id) == (first.id, first.id)
    assert first.attributes["nameplate.outcome"] == "done"
    assert transition.attributes == {
        "nameplate.event": "ownership_proven",
        "nameplate.domain_id": str(domain_id),
        "nameplate.hostname": "a.example",
        "nameplate.from": "dns_check",
        "nameplate.to": "verified",
    }
    assert await kept(pool, "outbox") == [f"00-{TRACE}-{transition.id}-01"]


async def test_a_look_at_the_dns_that_nobody_has_just_asked_for_begins_no_trace(
    pool, add_domain, scene: Traced, eventually
) -> None:
    await add_domain("a.example", job="verify")
    await add_domain("b.example", job="obtain", status="verified")

    async def done(_job):
        return Done()

    metrics = JobMetrics(CollectorRegistry())
    workers = [Worker(Jobs(pool, "a"), kind, done, 1, metrics, tracer=scene.tracer) for kind in ("verify", "obtain")]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]

    async def is_empty() -> bool:
        return not await kept(pool, "jobs")

    await eventually(is_empty)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [span.name for span in scene.spans()] == ["job obtain"]


async def test_a_request_for_many_domains_is_not_one_trace(database, pool, scene: Traced) -> None:
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=2) as api_pool:
        domains, caller = TenantDomains(api_pool, timedelta(hours=72), 100), Principal(uuid4(), "alice")
        for number in (2, TRACED + 1):
            with scene.tracer.begin("request", "server") as span:
                names = [f"d{n}.of{number}.example" for n in range(number)]
                await domains.add_many(caller, names, None, lambda _added: Reply("{}", "/"))
            assert (await kept(pool, "jobs")).count(span.traceparent) == (2 if number == 2 else 0)


async def test_a_job_that_fails_says_why_and_the_worker_goes_on(pool, add_domain, scene: Traced, eventually) -> None:
    await add_domain("a.example", job="obtain", status="verified")

    async def obtain(_job):
        raise RuntimeError("hunter2")

    worker = Worker(Jobs(pool, "a"), "obtain", obtain, 1, JobMetrics(CollectorRegistry()), tracer=scene.tracer)
    task = asyncio.create_task(worker.run())
    (span,) = await eventually(scene.spans)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (span.name, span.error) == ("job obtain", "RuntimeError")
    assert all(b"hunter2" not in body for body in scene.collector.bodies)


async def test_a_tenants_request_says_its_own(database, scene: Traced) -> None:
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=2) as pool:
        tenancy = Tenancy(pool)

        async def said(connection):
            return await connection.fetchval("SELECT current_setting('nameplate.trace', true)")

        caller = Principal(uuid4(), "alice")
        with scene.tracer.begin("request", "server", parent=PARENT) as span:
            assert await tenancy.transact(caller, said) == span.traceparent
        assert not await tenancy.transact(caller, said), "of the transaction alone"


async def test_without_a_trace_nothing_is_said(pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await tell(connection)
        assert not await connection.fetchval("SELECT current_setting('nameplate.trace', true)")
    assert trace.traceparent() is None


async def test_a_notification_is_part_of_what_it_tells_for_a_while(pool) -> None:
    endpoint, tenant = uuid4(), uuid4()
    await pool.execute(
        """INSERT INTO notification_endpoints (id, tenant_id, kind, address) VALUES ($1, $2, 'email', 'a@b.example')""",
        endpoint,
        tenant,
    )
    queue = Queue(pool)
    for age in ("0 s", "16 minutes"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SET, PARENT)
            await connection.execute(
                """INSERT INTO outbox (tenant_id, domain_id, event, payload, created_at)
                   VALUES ($1, gen_random_uuid(), 'domain.activate', '{}', now() - $2::text::interval)""",
                tenant,
                age,
            )
    now = await pool.fetchval("SELECT now() + interval '1 second'")
    assert await queue.dispatch(now) == 2
    (claim,) = await queue.claim(now, 1, timedelta(minutes=1), failing=False)
    assert {due.trace for due in await queue.due(claim, now, 10, [])} == {PARENT, None}
