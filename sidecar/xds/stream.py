"""One stream's work: which names wait for an answer, who is loading, what is written, in what order.

It does not know gRPC: requests come in decoded, `send` takes bytes and may block for as long as the client is slow.
What waits is names, never messages, and each name once (sidecar.xds.waiting). The stream's own task calls `write`,
after requests and when it is woken; loads are tasks that leave their answer and wake it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

import structlog

from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.counters import Counters, TypeCounters
from sidecar.xds.index import Index
from sidecar.xds.patience import Patience
from sidecar.xds.refusal import Refusal
from sidecar.xds.resolver import Later, Outcome, Resolver, Served
from sidecar.xds.send import Send
from sidecar.xds.settling import Settling
from sidecar.xds.subscription import Received, Rejection, Response, Subscription
from sidecar.xds.waiting import Waiting

# Removals in one response, and names looked at before other tasks run (two milliseconds).
SLICE: Final = 500

log = structlog.stdlib.get_logger(__name__)


class SecretStream:
    """`receive` and `changed` are synchronous and cheap; `write` has one caller; `close` afterwards.

    `wake` is called when there may be something to write.
    """

    def __init__(
        self,
        subscription: Subscription,
        resolver: Resolver,
        index: Index[SecretStream],
        counters: Counters,
        send: Send,
        wake: Callable[[], None],
        acknowledgements: Acknowledgements | None = None,
        said: TypeCounters | None = None,
    ) -> None:
        self._subscription = subscription
        self._index = index
        self._counters = counters
        self._send = send
        self._wake = wake
        self._acknowledgements = acknowledgements or Acknowledgements()
        self._said = said or TypeCounters()
        self._waiting = Waiting()
        clock = asyncio.get_running_loop().time
        self._settling = Settling(subscription, resolver, self._acknowledgements, clock, self._on_loaded, self._retry)
        self._patience = Patience(clock)
        self._counted = 0
        self._coming = False
        self.on_close: Callable[[SecretStream], object] = lambda stream: None

    def receive(self, received: Received) -> None:
        """A request came in."""
        for name in received.dropped:
            self._index.discard(self, name)
            self._waiting.forget(name)
            self._settling.dropped(name)
            self._acknowledgements.done(name)
        self._waiting.farewell.update(dict.fromkeys(received.farewell))
        # A client that comes back asks for tens of thousands: what is not there need not be looked for.
        if self._under_way:
            for name in received.asked:
                self._waiting.forget(name)
                self._settling.forget(name)
        self._settling.rejections.asked(received.asked)
        for name in received.asked:
            self._index.add(self, name)
        self._waiting.asked.update(dict.fromkeys(received.asked))
        if received.known:
            self._come_with(received.asked)
        if received.rejection is not None:
            self._reject(received.rejection)
        for name in received.accepted:
            if self._subscription.agreed(name) is not None:
                self._settling.rejections.over(name)
            self._done_if_settled(name)
        self._count()

    def _come_with(self, names: Iterable[str]) -> None:
        """The client says that it has some of these, from whichever time."""
        for name in names:
            if not name.islower() and self._subscription.held(name) is not None:
                self._settling.spellings.served(name)
        self._coming = True
        self._acknowledgements.owe_all_along((self,))

    def changed(self, names: Iterable[str]) -> None:
        """The answer for these names, as asked, may be another one now."""
        for name in names:
            if name in self._subscription:
                self._settling.changed(name)
                self._waiting.changed[name] = None
                if self._subscription.held(name) is not None:
                    self._acknowledgements.owe((name,))
        self._wake()

    def changed_all(self) -> None:
        self.changed(list(self._subscription.names))

    @property
    def rejected(self) -> Mapping[str, Refusal]:
        """Names of which the client's last word was a NACK."""
        return self._settling.rejections.last

    @property
    def failing(self) -> Collection[str]:
        """Names that the client has an earlier certificate of, and their own cannot be had."""
        return self._settling.failing.keys()

    def told(self, name: str) -> str | None:
        return self._subscription.held(name)

    def agreed(self, name: str) -> str | None:
        return self._subscription.agreed(name)

    async def write(self) -> None:
        """Settle and write at most a slice of what waits. Raises what `send` raises."""
        if self._patience.exhausted(blocked=self._blocked):
            log.warning("client_does_not_acknowledge", type_url=self._subscription.type_url)
            self._subscription.give_up()
        if self._subscription.window:
            responses = self._settle_slice()
            if responses:
                await self._send(*(response.data for response in responses))
                for response in responses:
                    self._subscription.sent(response)
        self._patience.exhausted(blocked=self._blocked)

    @property
    def waiting(self) -> bool:
        """There is more to write now."""
        return self._backlog and self._subscription.window > 0

    @property
    def loading(self) -> bool:
        """Answers are under way."""
        return len(self._settling.loads) > 0

    @property
    def due_at(self) -> float | None:
        """When to write all the same, by the loop's clock: the client has owed its ACK for too long then."""
        return self._patience.until

    def close(self) -> None:
        """The stream has ended."""
        self._index.discard_all(self, self._subscription.names)
        self._settling.close()
        self._counters.subscriptions -= self._counted
        self.on_close(self)

    def _count(self) -> None:
        self._counters.subscriptions += len(self._subscription) - self._counted
        self._counted = len(self._subscription)

    @property
    def _blocked(self) -> bool:
        return self._backlog and not self._subscription.window

    @property
    def _backlog(self) -> bool:
        return bool(self._waiting) or self._subscription.unanswered

    def _reject(self, rejection: Rejection) -> None:
        self._settling.rejections.add(rejection)
        names = [name for name, _ in rejection.resources]
        self.changed(names)
        for name in names:
            self._acknowledgements.done(name)
            if name not in self._subscription:
                self._settling.rejections.over(name)

    @property
    def _under_way(self) -> bool:
        return bool(self._waiting or len(self._settling))

    def _done_if_settled(self, name: str) -> None:
        if self._is_settled(name):
            self._acknowledgements.done(name)

    def _is_settled(self, name: str) -> bool:
        """The client has had the last word, and nothing more is to be said."""
        return not (name in self._waiting or name in self._settling or not self._subscription.settled(name))

    def _settle_slice(self) -> list[Response]:
        responses: list[Response] = []
        removed = self._waiting.say_farewell()
        window = self._subscription.window
        settled = 0
        while settled < SLICE and len(responses) < window and (name := self._waiting.next()) is not None:
            settled += 1
            answer = self._settling.settle(name)
            if answer is Later.UNCHANGED:
                self._done_if_settled(name)
                continue
            if self._coming:
                self._acknowledgements.owe_all_along((name,))
            match answer:
                case Served(version, resource):
                    self._settling.spellings.served(name)
                    self._count_answer(name, "served")
                    self._said.sent += 1
                    responses.append(self._subscription.resource(name, version, resource))
                case Outcome() as outcome:
                    self._settling.spellings.gone(name)
                    self._count_answer(name, outcome.value)
                    self._said.removed += 1
                    removed.append(name)
        if self._coming and not self._waiting.asked:
            self._coming = False
            self._acknowledgements.done(self)
        nothing_at_all = self._subscription.unanswered and not (responses or self._waiting)
        if (removed or nothing_at_all) and (response := self._subscription.removed(removed)) is not None:
            responses.append(response)
        return responses

    def _count_answer(self, name: str, counter: str) -> None:
        if not self._subscription.owed(name):
            counter = "pushes"
        setattr(self._counters, counter, getattr(self._counters, counter) + 1)

    def _on_loaded(self, name: str) -> None:
        self._waiting.asked[name] = None
        self._wake()

    def _retry(self, name: str) -> None:
        self._counters.retries += 1
        if name in self._subscription:
            self._settling.loads.end(name)
            self._waiting.changed[name] = None
            self._wake()
