"""Keeping Python's cycle collector away from the directory's rows.

A row refers to strings and numbers only, so it can be in no cycle; yet each full collection walks over all rows: a
million of them stop the event loop for a third of a second. So nothing is collected while they are made, and then
everything alive is moved where the collector does not look (gc.freeze). Rows are freed by their reference count all the
same. What is lost is the cyclic garbage of that moment: little, and once.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Below that, walking over the rows takes a few milliseconds.
WORTHWHILE = 20_000


@contextmanager
def no_cycles_made() -> Iterator[None]:
    """Around the making of many rows. Not reentrant; leaves a collector that is off as it is."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] >= WORTHWHILE:
            gc.freeze()
        if collecting:
            gc.enable()
