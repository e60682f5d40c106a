"""Who is told what of the directory changed. A consumer's mistake keeps nobody else from the news."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

OnChange = Callable[[frozenset[str]], None]
"""Called on the loop, after the directory was updated, with the hostnames whose answer may have changed.

A wildcard row stands for the names it matches. ANY_NAME comes after a reload of an incomplete directory: names that it
did not hold may have gone, and only those who asked for them know which they are.
"""
ANY_NAME = "*"

OnEnded = Callable[[Mapping[str, float]], None]
"""Called on the loop with registrations that are not live any more: Entry.registration → Unix seconds of its end.

After a change of theirs was read, before OnChange. And with all that ended in the last ENDED_KEPT seconds, even if that
is none, before the first read counts and whenever all is read anew: from then on nothing is missing, unless there are
ENDED_LIMIT of them, of which these are the newest. A registration that was resumed is not taken back.
"""

log = structlog.get_logger(__name__)


class Audience:
    def __init__(self) -> None:
        self._on_change: list[OnChange] = []
        self._on_ended: list[OnEnded] = []

    def add(self, on_change: OnChange) -> None:
        self._on_change.append(on_change)

    def add_for_ended(self, on_ended: OnEnded) -> None:
        self._on_ended.append(on_ended)

    def tell(self, hostnames: Iterable[str]) -> None:
        changed = frozenset(hostnames)
        for on_change in self._on_change:
            try:
                on_change(changed)
            except Exception:  # the top of what a consumer does
                log.exception("on_change_failed")

    def tell_ended(self, ended: Mapping[str, float]) -> None:
        for on_ended in self._on_ended:
            try:
                on_ended(ended)
            except Exception:  # the top of what a consumer does
                log.exception("on_ended_failed")
