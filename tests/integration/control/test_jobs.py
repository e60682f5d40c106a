from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from control.jobs import Again, Done, Job, Jobs, LeaseLost, Outcome, assert_held, become
from control.worker import JobMetrics, Worker

SHORT = timedelta(milliseconds=300)


async def rows(pool: asyncpg.Pool[Any]) -> list[asyncpg.Record]:
    return list(await pool.fetch("SELECT * FROM jobs"))


async def test_two_replicas_that_claim_together_share_the_jobs(pool, add_domain) -> None:
    added = {await add_domain(f"d{n}.example") for n in range(40)}
    first, second = Jobs(pool, "a"), Jobs(pool, "b")
    claims = await asyncio.gather(*(jobs.claim("verify", 7) for jobs in (first, second) * 4))
    claimed = [job.domain_id for claim in claims for job in claim]
    assert len(claimed) == len(set(claimed)) == len(added)


async def test_a_job_whose_lease_ran_out_is_claimed_again_and_its_first_holder_may_not_write(
    pool, add_domain, eventually
):
    await add_domain("a.example")
    slow = Jobs(pool, "slow", lease=SHORT)
    [job] = await slow.claim("verify", 1)
    again = (await eventually(lambda: slow.claim("verify", 1)))[0]
    assert again.domain_id == job.domain_id
    assert again.attempts == 2
    with pytest.raises(LeaseLost):
        await slow.renew(job)
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(LeaseLost):
            await assert_held(connection, job.domain_id, job.lease_token)
    await slow.settle(job, Done())
    assert len(await rows(pool)) == 1, "the first holder settled a job that is another's"


async def test_a_renewed_lease_is_not_claimed_by_another(pool, add_domain) -> None:
    await add_domain("a.example")
    jobs = Jobs(pool, "a", lease=SHORT)
    [job] = await jobs.claim("verify", 1)
    await Jobs(pool, "a", lease=timedelta(hours=1)).renew(job)
    await pool.execute("SELECT pg_sleep($1)", SHORT.total_seconds() * 1.5)
    assert await jobs.claim("verify", 1) == []


async def test_done_removes_the_job_and_again_delays_it(pool, add_domain) -> None:
    await add_domain("a.example")
    await add_domain("b.example")
    jobs = Jobs(pool, "a")
    first, second = await jobs.claim("verify", 2)
    await jobs.settle(first, Done())
    await jobs.settle(second, Again(timedelta(hours=1)))
    [left] = await rows(pool)
    assert left["domain_id"] == second.domain_id
    assert await jobs.claim("verify", 2) == []
    assert 3500 < (await jobs.seconds_until_due("verify") or 0) <= 3600


async def test_a_job_that_became_another_kind_while_it_ran_is_not_lost(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    jobs = Jobs(pool, "a")
    [job] = await jobs.claim("verify", 1)
    async with pool.acquire() as connection, connection.transaction():
        await become(connection, job, "obtain")
    assert await jobs.claim("obtain", 1) == [], "one domain was worked on twice at once"
    await jobs.settle(job, Done())
    [obtain] = await jobs.claim("obtain", 1)
    assert (obtain.domain_id, obtain.kind, obtain.attempts) == (domain_id, "obtain", 1)


async def test_a_deletion_meanwhile_wins_over_the_next_stage(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    jobs = Jobs(pool, "a")
    [job] = await jobs.claim("verify", 1)
    await pool.execute("UPDATE jobs SET kind = 'revoke' WHERE domain_id = $1", domain_id)
    async with pool.acquire() as connection, connection.transaction():
        await become(connection, job, "obtain")
    await jobs.settle(job, Done())
    assert [row["kind"] for row in await rows(pool)] == ["revoke"]


class Recording:
    """A handler that notes what it was given, and how many ran at once."""

    def __init__(self, outcome: Outcome | Exception | None = None) -> None:
        self.ran: list[Job] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._outcome = outcome or Done()

    async def __call__(self, job: Job) -> Outcome:
        self.ran.append(job)
        await self.gate.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def worker(jobs: Jobs, handler: Recording, concurrency: int = 4) -> Worker:
    return Worker(jobs, "verify", handler, concurrency, JobMetrics(CollectorRegistry()))


async def test_two_workers_run_each_job_once(pool, add_domain, eventually) -> None:
    added = {await add_domain(f"d{n}.example") for n in range(30)}
    handlers = [Recording(), Recording()]
    tasks = [asyncio.create_task(worker(Jobs(pool, str(n)), handler).run()) for n, handler in enumerate(handlers)]
    try:
        await eventually(lambda: _none_left(pool))
    finally:
        await stop(tasks)
    ran = [job.domain_id for handler in handlers for job in handler.ran]
    assert sorted(ran) == sorted(added)


async def _none_left(pool: asyncpg.Pool[Any]) -> bool:
    return not await rows(pool)


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_stopped_worker_gives_its_jobs_back_at_once(pool, add_domain, eventually) -> None:
    await add_domain("a.example")
    handler = Recording()
    handler.gate.clear()
    task = asyncio.create_task(worker(Jobs(pool, "a"), handler).run())
    await eventually(lambda: handler.ran)
    await stop([task])
    [row] = await rows(pool)
    assert row["lease_token"] is None
    assert len(await Jobs(pool, "b").claim("verify", 1)) == 1


async def test_a_handler_that_fails_is_tried_again_later_and_the_worker_lives_on(pool, add_domain, eventually) -> None:
    await add_domain("a.example")
    handler = Recording(ZeroDivisionError())
    task = asyncio.create_task(worker(Jobs(pool, "a"), handler).run())
    try:
        row = (await eventually(lambda: _delayed(pool), timeout=30))[0]
        assert row["attempts"] == 1
        await add_domain("b.example")
        await eventually(lambda: len(handler.ran) == 2)
        assert not task.done()
    finally:
        await stop([task])


async def _delayed(pool: asyncpg.Pool[Any]) -> list[asyncpg.Record]:
    return list(await pool.fetch("SELECT * FROM jobs WHERE run_at > now() AND lease_token IS NULL"))


async def test_a_long_job_keeps_its_lease(pool, add_domain, eventually) -> None:
    await add_domain("a.example")
    handler, other = Recording(), Recording()
    handler.gate.clear()
    first = asyncio.create_task(worker(Jobs(pool, "a", lease=SHORT), handler).run())
    await eventually(lambda: handler.ran)
    second = asyncio.create_task(worker(Jobs(pool, "b", lease=SHORT), other).run())
    try:
        await pool.execute("SELECT pg_sleep($1)", SHORT.total_seconds() * 3)
        assert other.ran == []
        handler.gate.set()
        await eventually(lambda: _none_left(pool))
    finally:
        await stop([first, second])


async def test_a_worker_whose_lease_was_taken_stops_its_job(pool, add_domain, eventually) -> None:
    domain_id = await add_domain("a.example")
    handler = Recording()
    handler.gate.clear()
    task = asyncio.create_task(worker(Jobs(pool, "a", lease=SHORT), handler).run())
    try:
        await eventually(lambda: handler.ran)
        thief = uuid4()
        await pool.execute(
            "UPDATE jobs SET lease_token = $2, lease_until = now() + interval '1 hour' WHERE domain_id = $1",
            domain_id,
            thief,
        )
        await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == f"verify {domain_id}"])
        [row] = await rows(pool)
        assert row["lease_token"] == thief
    finally:
        await stop([task])


async def test_a_request_during_a_look_is_not_undone_when_the_look_settles(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    jobs = Jobs(pool, "a")
    for outcome in (Again(timedelta(hours=1)), Done()):
        [job] = await jobs.claim("verify", 1)
        await _request(pool, domain_id, "verify")
        await jobs.settle(job, outcome)
    assert len(await jobs.claim("verify", 1)) == 1


async def _request(pool: asyncpg.Pool[Any], domain_id: UUID, kind: str) -> None:
    """As the tenants' API does."""
    async with pool.acquire() as connection, connection.transaction():
        tenant = await connection.fetchval("SELECT tenant_id::text FROM custom_domains WHERE id = $1", domain_id)
        await connection.execute("SELECT set_config('app.current_tenant', $1, true)", tenant)
        await connection.execute("SELECT request_job_v1($1, $2)", domain_id, kind)


@pytest.mark.parametrize(
    ("present", "status", "asked", "then"),
    [
        ("revoke", "active", "verify", "revoke"),
        ("obtain", "verified", "verify", "obtain"),
        ("obtain", "pending", "verify", "verify"),
        ("obtain", "verified", "revoke", "revoke"),
        ("verify", "pending", "revoke", "revoke"),
        ("verify", "pending", "verify", "verify"),
    ],
)
async def test_a_request_displaces_only_what_it_may(pool, add_domain, present, status, asked, then) -> None:
    domain_id = await add_domain("a.example", job=present, status=status)
    await _request(pool, domain_id, asked)
    assert [row["kind"] for row in await rows(pool)] == [then]


async def test_a_worker_outlives_whatever_a_cut_connection_says(pool, add_domain, eventually) -> None:
    """asyncpg has an error of its own for a connection that is cut in the moment in which it is used."""

    class Cut(Jobs):
        times = 0

        async def claim(self, kind, limit):
            type(self).times += 1
            if self.times == 1:
                raise asyncpg.InternalClientError("another operation is in progress")
            return await super().claim(kind, limit)

    await add_domain("a.example")
    handler = Recording()
    task = asyncio.create_task(worker(Cut(pool, "a"), handler).run())
    try:
        await eventually(lambda: handler.ran)
    finally:
        await stop([task])


async def test_a_worker_that_is_stopped_while_it_claims_gives_the_jobs_back(pool, add_domain) -> None:
    committed = asyncio.Event()

    class Slow(Jobs):
        async def claim(self, kind, limit):
            jobs = await super().claim(kind, limit)
            committed.set()
            await asyncio.sleep(0.05)  # the answer is on its way
            return jobs

    await add_domain("a.example")
    handler = Recording()
    task = asyncio.create_task(worker(Slow(pool, "a"), handler).run())
    await committed.wait()
    await stop([task])
    assert handler.ran == []
    [row] = await rows(pool)
    assert row["lease_token"] is None


async def test_a_worker_that_is_stopped_while_it_gives_a_job_back_gives_it_back(pool, add_domain) -> None:
    settling = asyncio.Event()

    class Slow(Jobs):
        async def settle(self, job, outcome):
            settling.set()
            await asyncio.sleep(0.05)  # PostgreSQL takes its time
            await super().settle(job, outcome)

    await add_domain("a.example")
    handler = Recording()
    task = asyncio.create_task(worker(Slow(pool, "a"), handler).run())
    await settling.wait()
    await stop([task])
    assert len(handler.ran) == 1
    assert await rows(pool) == []
