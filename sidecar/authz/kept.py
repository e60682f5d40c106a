"""What was found once and is found again: at most so many, and at most so many octets of them.

Each is somebody's, a tenant's say. Where there is no room, whoever has most makes it, and there the oldest is first
out: nobody's things push out those of others who have less.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Share(Generic[K]):
    """One owner's, with the octets of each; oldest first. `octets`: of all of it."""

    __slots__ = ("octets", "of")

    def __init__(self) -> None:
        self.of: OrderedDict[K, int] = OrderedDict()
        self.octets = 0


class Kept(Generic[K, V]):
    """`octets`, of all together: a tenant's clients decide how long their names are, and all have one memory."""

    def __init__(self, most: int, octets: int) -> None:
        self._most = most
        self._room = octets
        self._kept: dict[K, V] = {}
        self._owners: dict[K, str] = {}
        self._shares: dict[str, _Share[K]] = {}
        self.get = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: K, value: V, octets: int, owner: str) -> None:
        """Takes as long as there are owners, where one must make room: 0.05 ms for a thousand."""
        if key in self._kept:
            self._drop(key)
        self._kept[key] = value
        self._owners[key] = owner
        share = self._shares.setdefault(owner, _Share())
        share.of[key] = octets
        share.octets += octets
        self._room -= octets
        while len(self._kept) > self._most:
            self._drop_oldest(max(self._shares.values(), key=lambda each: len(each.of)))
        while self._kept and self._room < 0:
            self._drop_oldest(max(self._shares.values(), key=lambda each: each.octets))

    def clear(self) -> None:
        self._room += sum(share.octets for share in self._shares.values())
        for each in (self._kept, self._owners, self._shares):
            each.clear()

    def _drop_oldest(self, share: _Share[K]) -> None:
        self._drop(next(iter(share.of)))

    def _drop(self, key: K) -> None:
        del self._kept[key]
        owner = self._owners.pop(key)
        share = self._shares[owner]
        octets = share.of.pop(key)
        share.octets -= octets
        self._room += octets
        if not share.of:
            del self._shares[owner]
