"""A cancellation that comes in the very moment in which a wait ends is not lost: a drain would never end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from control.certificates.propagation import Propagation
from control.jobs import Done, Job, Outcome
from control.worker import JobMetrics, Worker
from core.feed import Sighting


class NoJobs:
    """An empty table."""

    lease = timedelta(seconds=15)

    async def claim(self, kind: str, limit: int) -> list[Job]:
        return []

    async def seconds_until_due(self, kind: str) -> None:
        return None


async def nothing(_job: Job) -> Outcome:
    return Done()


async def test_a_worker_that_is_woken_and_cancelled_at_once_ends() -> None:
    worker = Worker(NoJobs(), "verify", nothing, 1, JobMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    task = asyncio.create_task(worker.run())
    for _ in range(10):
        await asyncio.sleep(0)
    worker.wake()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(3):
            await task


async def test_a_wait_for_sidecars_that_hears_news_and_is_cancelled_at_once_ends() -> None:
    propagation = Propagation()
    propagation.heard(Sighting("one", 1).to_payload())
    task = asyncio.create_task(propagation.wait(100, timedelta(seconds=60)))
    for _ in range(10):
        await asyncio.sleep(0)
    propagation.heard(Sighting("one", 2).to_payload())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(3):
            await task


async def test_a_wait_ends_when_every_sidecar_has_seen_the_change_and_not_before() -> None:
    propagation = Propagation()
    propagation.heard(Sighting("one", 101).to_payload())
    propagation.heard(Sighting("two", 90).to_payload())
    waiting = asyncio.create_task(propagation.wait(100, timedelta(seconds=60)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    propagation.heard(Sighting("two", 90, (100,)).to_payload())
    async with asyncio.timeout(3):
        seen = await waiting
    assert (seen.seen, seen.known) == (2, 2)


async def test_a_sidecar_that_is_not_heard_of_any_more_holds_nothing_up() -> None:
    clock = [0.0]
    propagation = Propagation(lambda: clock[0])
    propagation.heard(Sighting("gone", 1).to_payload())
    clock[0] = 16.0
    propagation.heard(Sighting("here", 101).to_payload())
    seen = await propagation.wait(100, timedelta(seconds=5))
    assert (seen.seen, seen.known) == (1, 1)
