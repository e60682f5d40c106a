"""Decisions as finished answers of one protocol: made once where they repeat, and counted.

The answer that lets a host pass is kept with the directory's row that it was made from. It holds as long as the
directory gives that very row for the host: a row is immutable, and one that changed is another object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from core.hostname import normalize_host_header
from sidecar.authz.policy import Names, Pending
from sidecar.authz.refusal import CONSTANT, UNAVAILABLE, Outcome, Refusal
from sidecar.directory.entry import Entry

T = TypeVar("T")

# Hosts whose answer is kept, about 0.5 kB each.
KEPT = 65_536


class Answers(Generic[T]):
    """`passed`, `refused`: decision → message of the protocol. `finish`: that → what the transport sends."""

    def __init__(
        self,
        names: Names,
        passed: Callable[[Entry], bytes],
        refused: Callable[[Refusal], bytes],
        finish: Callable[[bytes], T],
    ) -> None:
        self._lookup = names.lookup
        self._encode_passed = passed
        self._encode_refused = refused
        self._finish = finish
        # By the host in normal form, for requests on a connection of that very SNI; oldest out first.
        self.kept: OrderedDict[str, tuple[Entry, T]] = OrderedDict()
        self._constant = {refusal.outcome: finish(refused(refusal)) for refusal in CONSTANT}
        self._counts = dict.fromkeys(Outcome, 0)

    def hit(self, host: str, sni: str) -> T | None:
        """The answer that was kept for a request, if it still holds. `host` and `sni` may be anything."""
        kept = self.kept.get(host)
        if kept is None or sni != host or self._lookup(host) is not kept[0]:
            return None
        self._counts[Outcome.OK] += 1
        return kept[1]

    def passed(self, entry: Entry, host_header: str) -> T:
        """A request passes, by the row that was found for its host.

        Kept under the host's normal form, whatever was asked: a connection of that SNI would be told the same.
        """
        self._counts[Outcome.OK] += 1
        host = normalize_host_header(host_header)
        kept = None if host is None else self.kept.get(host)
        if kept is not None and kept[0] is entry:
            return kept[1]
        answer = self._finish(self._encode_passed(entry))
        if host is not None:
            if len(self.kept) >= KEPT:
                self.kept.popitem(last=False)
            self.kept[host] = (entry, answer)
        return answer

    def unless_pending(self, decision: Refusal | Pending) -> T | Pending:
        return decision if isinstance(decision, Pending) else self.refused(decision)

    def refused(self, refusal: Refusal) -> T:
        self._counts[refusal.outcome] += 1
        answer = self._constant.get(refusal.outcome)
        return answer if answer is not None else self._finish(self._encode_refused(refusal))

    def unavailable(self) -> T:
        """What is pending could not be loaded."""
        return self.refused(UNAVAILABLE)

    def count(self, outcome: Outcome) -> None:
        """An answer that was made elsewhere."""
        self._counts[outcome] += 1

    def stats(self) -> dict[str, int]:
        """Answers so far, by outcome."""
        return {outcome.value: count for outcome, count in self._counts.items()}
