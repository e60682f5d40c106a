"""The secrets that one client has rejected: when they may be said again, and what is to be told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from cachetools import TTLCache

from sidecar.xds.refusal import Refusal
from sidecar.xds.subscription import REMOVED, Rejection

# Seconds in which a client that has rejected a certificate, and has none, hears that there is none, so that handshakes
# fail at once. Then it is tried again: what is not fit was refused before (core.certificate), so the reason most likely
# lay with another name in Envoy (`*`: see DeltaSubscription.receive), and it would be without for ever.
REJECTED: Final = 5.0
REJECTED_NAMES: Final = 10_000
# The same for one that does not ask: each rejection costs Envoy a line of its log for every secret.
SAY_AGAIN: Final = 60.0


class Rejections:
    """`last`: names of which the client's last word was a NACK."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.last: dict[str, Refusal] = {}
        self._lately: TTLCache[tuple[str, str], None] = TTLCache(REJECTED_NAMES, REJECTED, clock)

    def add(self, rejection: Rejection) -> None:
        self._lately.update(dict.fromkeys(rejection.resources))
        for name, version in rejection.resources:
            if len(self.last) < REJECTED_NAMES:
                self.last[name] = Refusal(version, rejection.message)

    def lately(self, name: str, version: str) -> bool:
        """Whether it was rejected so lately that it is not said again yet."""
        return (name, version) in self._lately

    def say_again(self, *, owed: bool) -> float:
        """Seconds until a version that was rejected is said again. `owed`: the client has asked for it."""
        return REJECTED if owed else SAY_AGAIN

    def asked(self, names: Iterable[str]) -> None:
        """That there is none it may be told again, though it has rejected that."""
        if len(self._lately):
            for name in names:
                self._lately.pop((name, REMOVED), None)

    def over(self, name: str) -> None:
        """The client has accepted a version of it, or dropped it."""
        self.last.pop(name, None)
