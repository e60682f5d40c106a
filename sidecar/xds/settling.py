"""What is to be said about one name to one client now: what is loading, tried again, rejected, and what it may hold.

It does not know what waits, nor what is written: names come in, answers go out (sidecar.xds.stream).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from sidecar.xds.acknowledgements import Acknowledgements
from sidecar.xds.loads import Loads
from sidecar.xds.rejections import Rejections
from sidecar.xds.resolver import Failed, Later, Outcome, Removed, Resolver, Served
from sidecar.xds.retries import Retries
from sidecar.xds.spellings import Spellings
from sidecar.xds.subscription import REMOVED, Subscription

# Failures in a row until a client that has an earlier certificate counts as one that has rejected the name's own: about
# four seconds, in which a standby of Vault that lags behind has caught up.
FAILING: Final = 4

# What must be written about a name now; UNCHANGED: nothing; None: nothing yet.
Settled = Served | Outcome | Literal[Later.UNCHANGED] | None


class Settling:
    """`loaded`: called with a name whose answer is there; `retry`: with one that is to be looked at again.

    `failing`: names that the client has an earlier certificate of, and their own cannot be had.
    """

    def __init__(
        self,
        subscription: Subscription,
        resolver: Resolver,
        acknowledgements: Acknowledgements,
        clock: Callable[[], float],
        loaded: Callable[[str], None],
        retry: Callable[[str], None],
    ) -> None:
        self._subscription = subscription
        self._resolver = resolver
        self._acknowledgements = acknowledgements
        self.spellings = Spellings()
        self.loads = Loads(resolver.load, loaded)
        self.retries = Retries(retry)
        self.rejections = Rejections(clock)
        self.failing: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        """Something is under way for it."""
        return name in self.loads or name in self.retries

    def __len__(self) -> int:
        return len(self.loads) + len(self.retries)

    def changed(self, name: str) -> None:
        """What was found out about it is of no worth any more."""
        self.loads.end(name)
        self.failing.pop(name, None)

    def forget(self, name: str) -> None:
        """Nothing that is under way for it matters any more."""
        self.changed(name)
        self.retries.end(name)

    def dropped(self, name: str) -> None:
        """The client does not want it any more."""
        self.forget(name)
        self.spellings.gone(name)
        self.rejections.over(name)

    def close(self) -> None:
        self.loads.close()
        self.retries.close()

    def settle(self, name: str) -> Settled:
        """What must be written about it now."""
        if not (name.islower() or self.spellings.allows(name)):
            return self._unless_said(Outcome.INVALID, name)
        held, owed = self._subscription.standing(name)
        wanted = None if owed else held
        answer = self.loads.take(name) or self._resolver.resolve(name, wanted)
        match answer:
            case Later.UNCHANGED:
                self._had(name)
                return Later.UNCHANGED
            case Later.LOAD:
                return self._load(name, wanted)
            case Failed():
                return self._fail(name, answer)
        self._had(name)
        match answer:
            case Served(version) if self.rejections.lately(name, version):
                self.retries.after(name, self.rejections.say_again(owed=owed))
                self._acknowledgements.done(name)
                return self._unless_said(Outcome.UNFIT, name) if held is None else None
            case Served():
                return answer
            case Removed(outcome):
                return self._unless_said(outcome, name)
        return None

    def _had(self, name: str) -> None:
        """The name's own answer is there."""
        self.retries.end(name)
        if self.failing:
            self.failing.pop(name, None)

    def _load(self, name: str, wanted: str | None) -> Settled:
        if self.loads.full:
            return self._fail(name, Failed(Outcome.UNAVAILABLE))
        self.loads.begin(name, wanted)
        return None

    def _fail(self, name: str, failed: Failed) -> Settled:
        """A client that has a certificate keeps it, whichever it is.

        After FAILING tries nobody waits for it any more: what else this client has acknowledged is to be known.
        """
        self.retries.after_failure(name)
        if self._subscription.held(name) is not None:
            if self.retries.failures(name) >= FAILING:
                self.failing[name] = None
                self._acknowledgements.done(name)
            return None
        return failed.instead or self._unless_said(failed.outcome, name)

    def _unless_said(self, outcome: Outcome, name: str) -> Settled:
        if not self._subscription.due(name, REMOVED):
            return Later.UNCHANGED
        if self.rejections.lately(name, REMOVED):
            self.retries.after(name, self.rejections.say_again(owed=True))
            return None
        return outcome
