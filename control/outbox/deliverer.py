"""The loop that delivers: makes deliveries of what happened, claims endpoints, sends, and writes down what came of it.

At least once: a replica that is killed between a delivery and its mark sends it again, under the same id, when the
lease has run out. Endpoints that fail have places of their own, so that however many there are, and however slowly they
fail, those that work are served.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from control.db.away import AWAY
from control.outbox.admin import AdminEndpoints
from control.outbox.backoff import delay
from control.outbox.message import Answer, Failed, Message, Receiver, Taken
from control.outbox.queue import BATCH, Claim, Due, LeaseGone, Queue
from control.outbox.signing import Secrets
from control.vault import VaultError
from core.trace import NOTHING, Tracer

POLL = 2.0  # seconds at most between two looks: a notification is only a hint
STEP = 0.5  # seconds: while some lanes of an endpoint are under way, the others are looked at so often
SWEEP = 30.0  # seconds between two looks for endpoints to remove, and at the figures

Jitter = Callable[[], float]  # from -1 to 1

log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Sends one message, and never raises for what the receiver does. Ends within Places.deadline."""

    async def send(self, receiver: Receiver, message: Message) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Places:
    """How much is done at once. `lanes`: of one endpoint. `turn`: seconds until another endpoint has its turn.

    `deadline`: seconds that a sender takes at most. A lease is longer than a turn and what is under way at its end.
    """

    working: int = 64
    failing: int = 32
    lanes: int = 4
    turn: float = 5.0
    deadline: float = 20.0

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=(self.turn + self.deadline) * 1.5)


class DeliveryMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "nameplate_deliveries_total",
            "Attempts at a delivery, by kind and outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.oldest = Gauge(
            "nameplate_delivery_oldest_seconds", "Age of the oldest delivery that waits.", registry=registry
        )
        self.waiting = Gauge("nameplate_deliveries_waiting", "Deliveries that wait.", registry=registry)
        self.dead = Gauge("nameplate_deliveries_dead", "Deliveries that were given up.", registry=registry)


class Deliverer:
    """`senders`: by kind of endpoint. `secrets`: of webhooks. `admin`: registered once the database is reached."""

    def __init__(
        self,
        queue: Queue,
        senders: Mapping[str, Sender],
        secrets: Secrets,
        admin: AdminEndpoints,
        metrics: DeliveryMetrics,
        now: Callable[[], datetime],
        places: Places = Places(),
        jitter: Jitter = lambda: random.uniform(-1, 1),  # noqa: S311
        tracer: Tracer = NOTHING,
    ) -> None:
        self._queue = queue
        self._senders = senders
        self._secrets = secrets
        self._admin = admin
        self._is_registered = False
        self._metrics = metrics
        self._now = now
        self._places = places
        self._jitter = jitter
        self._tracer = tracer
        self._wake = asyncio.Event()
        self._turns: dict[bool, set[asyncio.Task[None]]] = {False: set(), True: set()}
        self._swept = -SWEEP

    def wake(self) -> None:
        """There may be something to tell."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; what is under way then is sent again by another replica."""
        try:
            while True:
                self._wake.clear()
                try:
                    pause = await self._round()
                except AWAY as error:
                    log.warning("outbox_unreachable", error=type(error).__name__)
                    pause = POLL
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            turns = [*self._turns[False], *self._turns[True]]
            for turn in turns:
                turn.cancel()
            await asyncio.gather(*turns, return_exceptions=True)

    async def _round(self) -> float:
        """Return for how many seconds there is nothing to do."""
        if monotonic() - self._swept >= SWEEP:
            self._swept = monotonic()
            await self._sweep()
        if await self._queue.dispatch(self._now()) == BATCH:
            self._wake.set()
        pause = POLL
        for failing, most in ((False, self._places.working), (True, self._places.failing)):
            free = most - len(self._turns[failing])
            claims = await self._queue.claim(self._now(), free, self._places.lease, failing=failing) if free > 0 else ()
            for claim in claims:
                self._start(claim, failing)
            if len(claims) < free:  # else the end of a turn wakes us
                due = await self._queue.seconds_until_due(self._now(), failing=failing)
                pause = pause if due is None else min(pause, due + 0.005)
        return pause

    def _start(self, claim: Claim, failing: bool) -> None:
        task = asyncio.create_task(self._guarded(claim, failing), name=f"deliver {claim.receiver.id}")
        self._turns[failing].add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._turns[failing].discard(task)
            self._wake.set()

        task.add_done_callback(ended)

    async def _guarded(self, claim: Claim, failing: bool) -> None:
        with structlog.contextvars.bound_contextvars(endpoint_id=str(claim.receiver.id)):
            try:
                await self._turn(claim, failing)
            except LeaseGone:
                log.warning("delivery_lease_gone")
            except asyncio.CancelledError:  # the process is stopping: others need not wait for the lease
                with suppress(*AWAY):
                    await self._queue.release(claim)
                raise
            except AWAY as error:
                log.warning("delivery_not_settled", error=type(error).__name__)  # sent again when the lease runs out
            except Exception:
                log.exception("delivery_turn_failed")

    async def _turn(self, claim: Claim, failing: bool) -> None:
        """Send what is due, a few lanes at once, until nothing is or it is another endpoint's turn."""
        end = renewed = monotonic()
        end += self._places.turn
        under_way: dict[asyncio.Task[None], UUID] = {}
        try:
            while True:
                if monotonic() - renewed > self._places.turn:
                    await self._queue.renew(claim, self._places.lease)
                    renewed = monotonic()
                goes_on = monotonic() < end or not self._is_crowded(failing)
                free = self._places.lanes - len(under_way)
                if goes_on and free > 0:
                    flying = list(under_way.values())
                    for due in await self._queue.due(claim, self._now(), free, flying):
                        under_way[asyncio.create_task(self._deliver(claim, due))] = due.message.id
                if not under_way:
                    break
                step = STEP if goes_on and len(under_way) < self._places.lanes else None
                done, _ = await asyncio.wait(under_way, timeout=step, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del under_way[task]
                    task.result()
            await self._queue.release(claim)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _is_crowded(self, failing: bool) -> bool:
        """Whether another endpoint may be waiting for a place."""
        return len(self._turns[failing]) >= (self._places.failing if failing else self._places.working)

    async def _deliver(self, claim: Claim, due: Due) -> None:
        with self._tracer.begin(
            "deliver",
            "producer",
            parent=due.trace,
            event=due.message.event,
            to=claim.receiver.kind,
            attempts=due.attempts,
        ) as span:
            answer = await self._send(due.receiver, due.message)
            if isinstance(answer, Failed):
                span.fail(answer.code)
        now = self._now()
        if isinstance(answer, Taken):
            await self._queue.taken(claim, due, now)
            self._metrics.attempts.labels(claim.receiver.kind, "delivered").inc()
            return
        age = now - due.retry_from
        again_in = None if answer.final else delay(due.attempts + 1, age, answer.retry_after, self._jitter())
        await self._queue.failed(claim, due, answer, again_in, now)
        outcome = "again" if again_in is not None else "dead"
        self._metrics.attempts.labels(claim.receiver.kind, outcome).inc()
        log.info(
            "delivery_failed",
            delivery=str(due.message.id),
            notification=due.message.event,
            code=answer.code,
            status=answer.status,
            attempts=due.attempts + 1,
            outcome=outcome,
        )

    async def _send(self, receiver: Receiver, message: Message) -> Answer:
        sender = self._senders.get(receiver.kind)
        if sender is None:
            return Failed("mail_unconfigured", "This installation sends no mail.", ours=True)
        try:
            async with asyncio.timeout(self._places.deadline):
                return await sender.send(receiver, message)
        except TimeoutError:
            return Failed("timeout", f"No answer came within {self._places.deadline:g} s.")
        except Exception:
            log.exception("delivery_fault", delivery=str(message.id))
            return Failed("internal_error", "A fault of the platform; it is in its log.", ours=True)

    async def _sweep(self) -> None:
        """The admin's endpoints; what tenants have withdrawn, with its secrets; and the figures."""
        try:
            if not self._is_registered:
                await self._admin.register()
                self._is_registered = True
            for endpoint_id in await self._queue.withdrawn(100):
                await self._secrets.destroy(endpoint_id)
                await self._queue.remove(endpoint_id)
        except VaultError as error:
            log.warning("signing_secrets_unreachable", code=error.code)
        figures = await self._queue.figures()
        self._metrics.waiting.set(figures.waiting)
        self._metrics.dead.set(figures.dead)
        age = 0.0 if figures.oldest is None else (self._now() - figures.oldest).total_seconds()
        self._metrics.oldest.set(max(0.0, age))
