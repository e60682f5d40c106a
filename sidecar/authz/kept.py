"""What was found once and is found again: at most so many, and at most so many octets of them, oldest out first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """`octets`, of all together: a tenant's clients decide how long their names are, and all have one memory."""

    def __init__(self, most: int, octets: int) -> None:
        self._most = most
        self._room = octets
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._octets: dict[K, int] = {}
        self.get = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: K, value: V, octets: int) -> None:
        if key in self._kept:
            self._drop(key)
        self._kept[key] = value
        self._octets[key] = octets
        self._room -= octets
        while self._kept and (len(self._kept) > self._most or self._room < 0):
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        self._room += sum(self._octets.values())
        self._kept.clear()
        self._octets.clear()

    def _drop(self, key: K) -> None:
        del self._kept[key]
        self._room += self._octets.pop(key)
