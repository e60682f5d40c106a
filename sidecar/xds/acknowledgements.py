"""How far one client has followed the changes: up to which mark it has agreed to all that concerned it.

A mark is a number that grows, put after everybody was told of a change. This file knows neither streams nor resources:
names come in that may be others at the client, and names of which the client has had the last word.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

NEVER = 0


class Acknowledgements:
    """In the order of calls: `owe` when told of a change, then `mark`; `done` whenever the client has had its say."""

    def __init__(self) -> None:
        self._mark = NEVER
        # The mark that each was owed after. In the order of marks, so that the first is the oldest.
        self._owed: OrderedDict[Hashable, int] = OrderedDict()

    @property
    def acknowledged(self) -> int:
        """The highest mark before which nothing is owed."""
        return next(iter(self._owed.values()), self._mark)

    @property
    def owing(self) -> bool:
        return bool(self._owed)

    def mark(self, mark: int) -> None:
        """Whoever is concerned by a change before it was told of that. A client that owes nothing moves on with it."""
        self._mark = max(self._mark, mark)

    def owe(self, names: Iterable[Hashable]) -> None:
        """The client holds these, and since the last mark may have to be told of others."""
        for name in names:
            self._owed.setdefault(name, self._mark)

    def owe_all_along(self, names: Iterable[Hashable]) -> None:
        """The client came with these, from whichever time they are."""
        for name in names:
            self._owed[name] = NEVER
            self._owed.move_to_end(name, last=False)

    def done(self, name: Hashable) -> None:
        """It was acknowledged, rejected or dropped, or nothing had to be said of it. Any name will do."""
        self._owed.pop(name, None)
