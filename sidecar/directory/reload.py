"""Reading the directory anew while it goes on answering, within one snapshot of the database. In one of three ways:

- everything fits and the directory is complete: row by row in place, so that no row is in memory twice; what was not
  among the rows read is dropped at the end. Until then a name is answered as before or as after;
- everything fits, but it held a part only: all rows aside, then swapped in;
- not everything fits: the rows it holds in place, and others behind them as long as there is room.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry
from sidecar.directory.reader import SLICE, Reader
from sidecar.directory.rows import Everything, Recent

T = TypeVar("T")
Tell = Callable[[Mapping[str, Entry | None]], None]
"""Called after the directory was updated, with the rows that are different now, as they were (None: not held)."""


async def read_anew(directory: Directory, reader: Reader, tell: Tell) -> None:
    """Within `reader.consistent`. Of names that an incomplete directory did not hold nothing is told."""
    # A load that read its row before this snapshot may never be told of a change made in between.
    directory.distrust()
    if await reader.count() > directory.capacity:
        await _revise_some(directory, reader, tell)
    elif directory.complete:
        await _revise_all(directory, reader, tell)
    else:
        await _swap(directory, reader, tell)


async def in_slices(items: Iterable[T], size: int = SLICE) -> AsyncIterable[list[T]]:
    """Lists of at most `size`; the event loop takes a turn after each."""
    remaining: Iterator[T] = iter(items)
    while part := list(islice(remaining, size)):
        yield part
        await asyncio.sleep(0)


async def _revise_all(directory: Directory, reader: Reader, tell: Tell) -> None:
    unread: set[str] = set()
    async for hostnames in in_slices(directory.held()):
        unread.update(hostnames)
    async for entries in reader.all_entries():
        _revise(directory, entries, tell)
        unread.difference_update(entries)
        await asyncio.sleep(0)
    async for hostnames in in_slices(unread):
        _revise(directory, dict.fromkeys(hostnames), tell)


async def _swap(directory: Directory, reader: Reader, tell: Tell) -> None:
    rows = Everything()
    async for entries in reader.all_entries():
        rows.update(entries)
        await asyncio.sleep(0)
    before = directory.replace(rows)
    async for hostnames in in_slices(list(before)):
        tell({name: row for name in hostnames if (row := before.peek(name)) != directory.peek(name)})


async def _revise_some(directory: Directory, reader: Reader, tell: Tell) -> None:
    if directory.complete or not directory.loaded:
        rows = Recent(directory.capacity)
        async for hostnames in in_slices(directory.held()):
            for hostname in hostnames:
                if (entry := directory.peek(hostname)) is not None:
                    rows.put(hostname, entry)
        directory.replace(rows)
    async for hostnames in in_slices(directory.held()):
        _revise(directory, await reader.load_names(hostnames), tell)
    async for entries in reader.all_entries():
        if not directory.fill(entries):
            break
        await asyncio.sleep(0)


def _revise(directory: Directory, facts: Mapping[str, Entry | None], tell: Tell) -> None:
    differing = {name: row for name, row in facts.items() if directory.peek(name) != row}
    if differing:
        before = {name: directory.peek(name) for name in differing}
        directory.apply(differing)
        tell(before)
