"""One stream's work: which names wait for an answer, who is loading, what is written, in what order.

It does not know gRPC: requests come in decoded, `send` takes bytes and may block for as long as the client is slow.
What waits is names, never messages, and each name once. The stream's own task calls `write`, after requests and when it
is woken; loads are tasks that leave their answer and wake it.
Names that the client asked for go before names that changed, so a push to thousands does not keep a handshake waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import structlog
from cachetools import TTLCache

from sidecar.xds.counters import Counters
from sidecar.xds.index import Index
from sidecar.xds.resolver import Answer, Failed, Later, Outcome, Removed, Resolver, Served
from sidecar.xds.spellings import Spellings
from sidecar.xds.subscription import REMOVED, Received, Response, Subscription

# Removals in one response, and names looked at before other tasks run (two milliseconds).
SLICE: Final = 500

# Seconds until a client that does not acknowledge is written to all the same. A handshake may be waiting, and Envoy
# gives those 5 s.
ACK_PATIENCE: Final = 2.0

# Loads at once. A name that finds no place is given up like one that was not loaded in time; the client asks again.
MAX_LOADING: Final = 10_000

# Seconds until a failure is tried again, the last one for ever: 0.5, 1.5, 3.5, 8.5, 13.5 … after the first.
RETRY_DELAYS: Final = (0.5, 1.0, 2.0, 5.0)

# Seconds in which a client that has rejected a certificate, and has none, hears that there is none, so that handshakes
# fail at once. Then it is tried again: what is not fit was refused before (core.certificate), so the reason most likely
# lay with another name in Envoy (`*`: see DeltaSubscription.receive), and it would be without for ever.
REJECTED: Final = 5.0
REJECTED_NAMES: Final = 10_000
# The same for one that does not ask: each rejection costs Envoy a line of its log for every secret.
SAY_AGAIN: Final = 60.0

log = structlog.stdlib.get_logger(__name__)


class Send(Protocol):
    def __call__(self, *messages: bytes) -> Awaitable[None]:
        """Write them; returns when the client has room for more."""


class SecretStream:
    """`receive`, `changed` and `end` are synchronous and cheap; `write` has one caller; `close` afterwards.

    `wake` is called when there may be something to write, or the stream is over.
    """

    def __init__(
        self,
        subscription: Subscription,
        resolver: Resolver,
        index: Index[SecretStream],
        counters: Counters,
        send: Send,
        wake: Callable[[], None],
    ) -> None:
        self._subscription = subscription
        self._resolver = resolver
        self._index = index
        self._counters = counters
        self._send = send
        self._wake = wake
        self._spellings = Spellings()
        self._farewell: dict[str, None] = {}
        # Not a dict: taking its first item again and again costs a scan over the places of those taken before.
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._changed: OrderedDict[str, None] = OrderedDict()
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._loaded: dict[str, Answer] = {}
        self._retries: dict[str, tuple[int, asyncio.TimerHandle]] = {}
        clock = asyncio.get_running_loop().time
        self._rejected: TTLCache[tuple[str, str], None] = TTLCache(REJECTED_NAMES, REJECTED, clock)
        self._blocked_until: float | None = None
        self._counted = 0
        self.over = False
        """To be ended in good order."""

    def receive(self, received: Received) -> None:
        """A request came in."""
        for name in received.dropped:
            self._index.discard(self, name)
            self._forget(name)
            self._spellings.gone(name)
        self._farewell.update(dict.fromkeys(received.farewell))
        for name in received.asked:
            self._index.add(self, name)
            self._forget(name)
            self._rejected.pop((name, REMOVED), None)
            self._asked[name] = None
            if self._subscription.held(name) is not None:
                self._spellings.served(name)
        if received.rejection is not None:
            self._rejected.update(dict.fromkeys(received.rejection.resources))
            self.changed(name for name, _ in received.rejection.resources)
        self._count()

    def changed(self, names: Iterable[str]) -> None:
        """The answer for these names, as asked, may be another one now."""
        for name in names:
            if name in self._subscription:
                load = self._loading.pop(name, None)
                if load is not None:
                    load.cancel()  # it may have read the row before the change
                self._loaded.pop(name, None)
                self._changed[name] = None
        self._wake()

    def changed_all(self) -> None:
        self.changed(list(self._subscription.names))

    def end(self) -> None:
        self.over = True
        self._wake()

    async def write(self) -> None:
        """Settle and write at most a slice of what waits. Raises what `send` raises."""
        if self._blocked_until is not None:
            self._unblock(self._blocked_until)
        if self._subscription.window:
            responses = self._settle_slice()
            if responses:
                await self._send(*(response.data for response in responses))
                for response in responses:
                    self._subscription.sent(response)
        if self._blocked_until is None and self._has_work() and not self._subscription.window:
            self._blocked_until = asyncio.get_running_loop().time() + ACK_PATIENCE

    @property
    def waiting(self) -> bool:
        """There is more to write now."""
        return self._has_work() and self._subscription.window > 0

    @property
    def due_at(self) -> float | None:
        """When to write all the same, by the loop's clock: the client has owed its ACK for too long then."""
        return self._blocked_until

    def close(self) -> None:
        """The stream has ended."""
        for name in self._subscription.names:
            self._index.discard(self, name)
        for load in self._loading.values():
            load.cancel()
        for _, timer in self._retries.values():
            timer.cancel()
        self._counters.subscriptions -= self._counted

    def _count(self) -> None:
        self._counters.subscriptions += len(self._subscription) - self._counted
        self._counted = len(self._subscription)

    def _has_work(self) -> bool:
        return bool(self._asked or self._changed or self._farewell)

    def _unblock(self, until: float) -> None:
        """If the client has acknowledged, or it is `until`."""
        if self._has_work() and not self._subscription.window:
            if asyncio.get_running_loop().time() < until:
                return
            log.warning("client_does_not_acknowledge", waiting=len(self._asked) + len(self._changed))
            self._subscription.give_up()
        self._blocked_until = None

    def _settle_slice(self) -> list[Response]:
        responses: list[Response] = []
        removed = list(self._farewell)
        self._farewell.clear()
        window = self._subscription.window
        settled = 0
        while settled < SLICE and len(responses) < window and (name := self._next()) is not None:
            settled += 1
            match self._settle(name):
                case Served(version, resource):
                    self._spellings.served(name)
                    self._count_answer(name, "served")
                    responses.append(self._subscription.resource(name, version, resource))
                case Outcome() as outcome:
                    self._spellings.gone(name)
                    self._count_answer(name, outcome.value)
                    removed.append(name)
        if removed and (response := self._subscription.removed(removed)) is not None:
            responses.append(response)
        return responses

    def _count_answer(self, name: str, counter: str) -> None:
        if not self._subscription.owed(name):
            counter = "pushes"
        setattr(self._counters, counter, getattr(self._counters, counter) + 1)

    def _next(self) -> str | None:
        for waiting in (self._asked, self._changed):
            if waiting:
                name, _ = waiting.popitem(last=False)
                # One that was asked and changed would be due twice in a slice: nothing of it is sent yet.
                self._changed.pop(name, None)
                return name
        return None

    def _settle(self, name: str) -> Served | Outcome | None:
        """What must be written about the name now; None: nothing (yet)."""
        if not self._spellings.allows(name):
            return self._unless_said(Outcome.INVALID, name)
        held = self._subscription.held(name)
        wanted = None if self._subscription.owed(name) else held
        answer = self._loaded.pop(name, None) or self._resolver.resolve(name, wanted)
        match answer:
            case Later.LOAD:
                return self._load(name, wanted)
            case Failed():
                return self._fail(name, answer)
        self._end_retries(name)
        match answer:
            case Served(version) if (name, version) in self._rejected:
                self._look_again(name, REJECTED if self._subscription.owed(name) else SAY_AGAIN)
                return self._unless_said(Outcome.UNFIT, name) if held is None else None
            case Served():
                return answer
            case Removed(outcome):
                return self._unless_said(outcome, name)
        return None

    def _load(self, name: str, wanted: str | None) -> Served | Outcome | None:
        if len(self._loading) >= MAX_LOADING:
            return self._fail(name, Failed(Outcome.UNAVAILABLE))
        self._loading[name] = asyncio.create_task(self._run_load(name, wanted), name=f"load {name}")
        return None

    async def _run_load(self, name: str, wanted: str | None) -> None:
        try:
            answer = await self._resolver.load(name, wanted)
        except Exception:
            # The top of a task: a fault at one name must not end the stream of all the others.
            log.exception("load_failed", resource=name)
            answer = Failed(Outcome.UNAVAILABLE)
        # `changed` and `_forget` cancel it, so this is still the name's one load.
        del self._loading[name]
        self._loaded[name] = answer
        self._asked[name] = None
        self._wake()

    def _fail(self, name: str, failed: Failed) -> Served | Outcome | None:
        """A client that has a certificate keeps it, whichever it is."""
        self._retry_later(name)
        if self._subscription.held(name) is not None:
            return None
        return failed.instead or self._unless_said(failed.outcome, name)

    def _unless_said(self, outcome: Outcome, name: str) -> Outcome | None:
        if not self._subscription.due(name, REMOVED):
            return None
        if (name, REMOVED) in self._rejected:
            self._look_again(name, REJECTED)
            return None
        return outcome

    def _retry_later(self, name: str) -> None:
        count, _ = self._retries.get(name, (0, None))
        self._look_again(name, RETRY_DELAYS[min(count, len(RETRY_DELAYS) - 1)], count + 1)

    def _look_again(self, name: str, seconds: float, count: int = 0) -> None:
        self._end_retries(name)
        self._retries[name] = (count, asyncio.get_running_loop().call_later(seconds, self._retry, name))

    def _retry(self, name: str) -> None:
        self._counters.retries += 1
        self.changed((name,))

    def _end_retries(self, name: str) -> None:
        _, timer = self._retries.pop(name, (0, None))
        if timer is not None:
            timer.cancel()

    def _forget(self, name: str) -> None:
        """Nothing that is under way for the name matters any more."""
        load = self._loading.pop(name, None)
        if load is not None:
            load.cancel()
        self._loaded.pop(name, None)
        self._asked.pop(name, None)
        self._changed.pop(name, None)
        self._farewell.pop(name, None)
        self._end_retries(name)
