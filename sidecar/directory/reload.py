"""Filling the directory anew while the old rows go on answering: collect, compare, swap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from cachetools import LRUCache

from sidecar.directory.directory import Directory, Entries
from sidecar.directory.entry import Entry
from sidecar.directory.reader import SLICE

T = TypeVar("T")


async def read_anew(directory: Directory, slices: AsyncIterable[list[Entry]]) -> tuple[Entries, list[str]]:
    """The rows to swap in, and the hostnames whose answer will not be what it was.

    Rows that do not fit make the directory incomplete. It then keeps what it held, fills up with others, and counts
    every other name as different, as nobody knows any more what was answered for it.
    """
    rows: dict[str, Entry] = {}
    differing: list[str] = []
    fits = True
    async for entries in slices:
        for entry in entries:
            hostname = entry.hostname
            before = directory.peek(hostname)
            if before != entry:
                differing.append(hostname)
            if before is not None or len(rows) < directory.capacity:
                rows[hostname] = before if before == entry else entry  # an equal row is not kept twice
            else:
                fits = False
        if not fits and not directory.loaded:
            break  # nothing was answered yet, so there is nobody to tell of the rest
        await asyncio.sleep(0)
    async for names in in_slices(directory.held()):
        differing.extend(name for name in names if name not in rows)
    if fits and len(rows) <= directory.capacity:
        return rows, differing
    return await _cache(directory, rows), differing


async def in_slices(items: Iterable[T]) -> AsyncIterable[list[T]]:
    """Lists of at most SLICE; the event loop takes a turn after each."""
    remaining: Iterator[T] = iter(items)
    while part := list(islice(remaining, SLICE)):
        yield part
        await asyncio.sleep(0)


async def _cache(directory: Directory, rows: dict[str, Entry]) -> LRUCache[str, Entry]:
    """What was held before goes in last, so that it is the last to be evicted."""
    cache: LRUCache[str, Entry] = LRUCache(directory.capacity)
    for held in (False, True):
        async for names in in_slices(rows):
            for name in names:
                if (directory.peek(name) is not None) is held:
                    cache[name] = rows[name]
    return cache
