"""How far the Envoys of this sidecar are, in the feed's own terms: for its sightings (core.feed).

The streams know revisions, numbers that grow with each read that brought something. Here each is kept with the position
that the feed had reached, so that an Envoy's revision says which transactions it has acknowledged.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from core.feed import Reached, Rejected, Sighting

# Revisions whose position is known. An Envoy that lags behind by more has acknowledged nothing that could be proven.
KEPT = 4_096

Answers: TypeAlias = "tuple[list[int], Rejected]"  # revisions, of an Envoy each; and what they do not take


class Envoys(Protocol):
    """Those that are connected (sidecar.xds.proof). All is called on the loop."""

    def watch(self, on_progress: Callable[[], None]) -> None:
        """To be called when one of them has moved on, come or gone; often, and without an argument."""
        ...

    def mark(self, revision: int) -> None:
        """Everything up to this revision was told to everybody."""
        ...

    def acknowledged(self) -> Sequence[int]:
        """Of each, the revision up to which it has answered everything; 0: none."""
        ...

    def rejected(self) -> Rejected:
        """What some of them have not taken."""
        ...


class Marks:
    """Revision → position. Pure."""

    def __init__(self) -> None:
        self._marks: OrderedDict[int, Reached] = OrderedDict()

    def put(self, revision: int, position: int, ahead: tuple[int, ...]) -> None:
        """Again for the newest revision: it has got further, since nothing came in between."""
        self._marks[revision] = Reached(0, position, ahead)
        while len(self._marks) > KEPT:
            self._marks.popitem(last=False)

    def reached(self, acknowledged: Iterable[int]) -> tuple[Reached, ...]:
        """Envoys at the same revision are one group; the furthest comes first."""
        groups = sorted(Counter(acknowledged).items(), reverse=True)
        return tuple(self._group(revision, number) for revision, number in groups)

    def _group(self, revision: int, number: int) -> Reached:
        mark = self._marks.get(revision)
        return Reached(number, 0) if mark is None else Reached(number, mark.position, mark.ahead)


class Telling:
    """What this sidecar says of itself and its Envoys. `wake`: called when they have answered."""

    def __init__(self, sidecar: str, wake: Callable[[], None]) -> None:
        self._sidecar = sidecar
        self._wake = wake
        self._marks = Marks()
        self._envoys: Envoys | None = None
        self._marking = False
        self._said: Answers | None = None

    def accompany(self, envoys: Envoys, revision: int) -> None:
        self._envoys = envoys
        envoys.watch(self._on_progress)
        self._mark(revision)

    def applied(self, revision: int, position: int, ahead: tuple[int, ...], *, news: bool) -> None:
        """Everybody was told of what was read."""
        self._marks.put(revision, position, ahead)
        if news:
            self._mark(revision)

    @property
    def due(self) -> bool:
        """The Envoys have answered since it was told of them."""
        return self._answers() != self._said

    def sighting(self, position: int, ahead: tuple[int, ...]) -> Sighting:
        """To be told now."""
        self._said = answers = self._answers()
        if answers is None:
            return Sighting(self._sidecar, position, ahead, answers=True)
        acknowledged, without = answers
        return Sighting(self._sidecar, position, ahead, self._marks.reached(acknowledged), without, answers=True)

    def _mark(self, revision: int) -> None:
        """What moves on with it is told of without being asked for."""
        if self._envoys is not None:
            self._marking = True
            self._envoys.mark(revision)
            self._marking = False

    def _on_progress(self) -> None:
        if not self._marking:
            self._wake()

    def _answers(self) -> Answers | None:
        return None if self._envoys is None else (sorted(self._envoys.acknowledged()), self._envoys.rejected())
