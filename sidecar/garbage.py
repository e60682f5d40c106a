"""Keeping Python's cycle collector away from what lives as long as the process: it stops the loop that answers checks.

A row of the directory refers to strings and numbers only, so it can be in no cycle; yet each full collection walks over
all rows: a million of them stop the event loop for a third of a second. So nothing is collected while they are made,
and then everything alive is moved where the collector does not look (gc.freeze). Rows are freed by their reference
count all the same. What is lost is the cyclic garbage of that moment: little, and once. The same with modules and
classes when all are imported: with Envoy's messages a full collection takes 80 ms.

What is made for ten thousand names of an Envoy is freed by reference counts too (sidecar.xds), so it need not be walked
over each time that a quarter has been added to it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made since the last collection of the youngest; such collections until the middle generation is gone through;
# such of those until all is.
THRESHOLDS = (10_000, 50, 50)
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


def collect_seldom() -> None:
    gc.set_threshold(*THRESHOLDS)


def leave_alone() -> None:
    """What is alive now is here to stay."""
    gc.freeze()
