"""Which loads under way have been overtaken by a change.

A load that read its rows before a change and comes back after the change was applied would bring the old state back.
So whoever starts a load says for which keys, whoever applies a change says which keys it was about, and an overtaken
load is thrown away. What a load brings is remembered in the same step as it is found not to be overtaken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Load:
    __slots__ = ("keys", "overtaken")

    def __init__(self, keys: frozenset[str]) -> None:
        self.keys = keys
        self.overtaken = False


class Loads:
    """The loads under way: few, as each is paid for from a budget and has a deadline."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: set[Load] = set()

    @contextmanager
    def begin(self, keys: Collection[str]) -> Iterator[Load]:
        load = Load(frozenset(keys))
        self._under_way.add(load)
        try:
            yield load
        finally:
            self._under_way.discard(load)

    def overtake(self, changed: Collection[str]) -> None:
        for load in self._under_way:
            if not load.keys.isdisjoint(changed):
                load.overtaken = True

    def overtake_all(self) -> None:
        for load in self._under_way:
            load.overtaken = True
