"""The worker of one kind of job: claims what is due, runs each in a task of its own, keeps its lease alive."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from control.db.away import AWAY
from control.jobs import Again, Job, Jobs, Kind, LeaseLost, Outcome
from core.trace import NOTHING, Tracer

POLL = 2.0  # seconds at most between two looks for due work: a notification is only a hint
# After an error that no handler expected: 5 s, 10 s, 20 s … about 10 minutes.
UNEXPECTED_FIRST, UNEXPECTED_LAST = timedelta(seconds=5), timedelta(minutes=10)

Handler = Callable[[Job], Awaitable[Outcome]]
Room = Callable[[], Awaitable[int]]

log = structlog.get_logger(__name__)


class JobMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.finished = Counter(
            "nameplate_jobs_total", "Jobs run, by kind and outcome.", ["kind", "outcome"], registry=registry
        )
        self.seconds = Histogram("nameplate_job_seconds", "How long a job ran.", ["kind"], registry=registry)
        self.errors = Counter(
            "nameplate_job_errors_total",
            "Jobs that ended as nobody expected: interrupted, as PostgreSQL was away, or by a fault of ours.",
            ["kind", "reason"],
            registry=registry,
        )


class Worker:
    """At most `concurrency` jobs at once: a slow one holds up no other until all places are taken by slow ones.

    `room`: how many more orders the CAs take just now; no more jobs that need one are claimed. Each that runs
    is taken to need one still: it may have been claimed a moment ago and not have come to its order.
    """

    def __init__(
        self,
        jobs: Jobs,
        kind: Kind,
        handler: Handler,
        concurrency: int,
        metrics: JobMetrics,
        room: Room | None = None,
        tracer: Tracer = NOTHING,
    ) -> None:
        self._jobs = jobs
        self._kind = kind
        self._handler = handler
        self._concurrency = concurrency
        self._metrics = metrics
        self._room = room
        self._tracer = tracer
        self._running: dict[asyncio.Task[None], asyncio.Future[Outcome]] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be work now."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; then the jobs under way are cancelled, and their leases given back."""
        try:
            while True:
                try:
                    pause = await self._claim()
                except AWAY as error:
                    log.warning("jobs_unreachable", kind=self._kind, error=type(error).__name__)
                    pause = POLL
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            for work in self._running.values():
                work.cancel()  # the work only: a task that is giving its job back comes to its end
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _claim(self) -> float:
        """Start what is due. Return for how many seconds there is nothing to do."""
        self._wake.clear()
        free = self._concurrency - len(self._running)
        if free == 0:
            return POLL
        room = None if self._room is None else max(await self._room() - len(self._running), 0)
        jobs = await self._take(free, room)
        for job in jobs:
            with structlog.contextvars.bound_contextvars(job=job.kind, domain_id=str(job.domain_id)):
                work = asyncio.ensure_future(self._traced(job))
                task = asyncio.create_task(self._run(job, work), name=f"{job.kind} {job.domain_id}")
            self._running[task] = work
            task.add_done_callback(self._forget)
        if len(jobs) == free or (room is not None and room < free):
            return POLL
        due = await self._jobs.seconds_until_due(self._kind)
        return POLL if due is None else min(POLL, due + 0.005)

    async def _take(self, limit: int, room: int | None) -> Sequence[Job]:
        """Claim. What the database has given is given back if the process is stopped before the answer is read."""
        claim = self._jobs.claim(self._kind, limit) if room is None else self._jobs.claim(self._kind, limit, room)
        claiming = asyncio.ensure_future(claim)
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with suppress(*AWAY):
                for job in await claiming:
                    await self._jobs.settle(job, Again(timedelta(0)))
            raise

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()

    async def _traced(self, job: Job) -> Outcome:
        # A name that waits for its DNS is looked at for days: each such look would be a trace.
        tracer = NOTHING if job.kind == "verify" and job.trace is None else self._tracer
        with tracer.begin(
            f"job {job.kind}",
            "consumer",
            parent=job.trace,
            job=job.kind,
            attempts=job.attempts,
            domain_id=str(job.domain_id),
        ) as span:
            outcome = await self._handler(job)
            span.set(outcome=type(outcome).__name__.lower())
            return outcome

    async def _run(self, job: Job, work: asyncio.Future[Outcome]) -> None:
        started = monotonic()
        outcome = await self._handle(job, work)
        name = type(outcome).__name__.lower() if outcome is not None else "lost"
        self._metrics.finished.labels(job.kind, name).inc()
        self._metrics.seconds.labels(job.kind).observe(monotonic() - started)
        if outcome is None:
            return
        try:
            await self._jobs.settle(job, outcome)
        except AWAY as error:
            log.warning("job_not_settled", error=type(error).__name__)  # claimed again when the lease runs out

    async def _handle(self, job: Job, work: asyncio.Future[Outcome]) -> Outcome | None:
        """The work beside the renewal of its lease. None: the lease is lost, nothing is to be settled."""
        keeper = asyncio.create_task(self._keep(job, work))
        try:
            return await work
        except LeaseLost:
            log.warning("job_lease_lost")
            return None
        except asyncio.CancelledError:
            if not keeper.done():  # the process is stopping: give the job back at once
                return Again(timedelta(0))
            log.warning("job_lease_lost")
            return None
        except AWAY as error:
            log.warning("job_interrupted", error=type(error).__name__)
            self._metrics.errors.labels(job.kind, "interrupted").inc()
            return Again(backoff(job.attempts))
        except Exception:
            log.exception("job_failed")
            self._metrics.errors.labels(job.kind, "fault").inc()
            return Again(backoff(job.attempts))
        finally:
            keeper.cancel()
            work.cancel()

    async def _keep(self, job: Job, work: asyncio.Future[Outcome]) -> None:
        """Renew at a third of the lease; cancel the work when the lease is lost or cannot be renewed in time."""
        lease = self._jobs.lease.total_seconds()
        renewed = monotonic()
        while monotonic() - renewed < lease * 0.9:
            await asyncio.sleep(lease / 3)
            try:
                async with asyncio.timeout(lease / 3):
                    await self._jobs.renew(job)
                renewed = monotonic()
            except LeaseLost:
                break
            except AWAY as error:
                log.warning("job_lease_not_renewed", error=type(error).__name__)
        work.cancel()


def backoff(attempts: int) -> timedelta:
    """Full jitter over the upper half, so that many jobs that failed together do not come back together."""
    longest = min(UNEXPECTED_FIRST * (1 << min(max(attempts - 1, 0), 10)), UNEXPECTED_LAST)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- jitter
