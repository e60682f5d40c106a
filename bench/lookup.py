"""What `Directory.lookup` itself costs, in a process of its own, on the rows of a snapshot.

    python -m bench.lookup SNAPSHOT NAMES ROUNDS       prints {"hot": [seconds, ...], "uniform": [...]} of CPU a lookup

hot: the same 1,000 names over and over, wherever they lie among all. uniform: any of all names, each as likely: then
the machine's memory answers, and not its caches. The names are made just before each batch, so that they are not what
is fetched from memory.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.names import PLATFORM, hostname
from sidecar.directory import snapshot
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, PlatformDomain

BATCH = 1_000
BATCHES = 200
HOT = 1_000


def directory_of(path: Path) -> Directory:
    _, rows = snapshot.read(path, PLATFORM)
    directory = Directory(PlatformDomain(PLATFORM), len(rows) + 1)
    directory.replace(rows)
    return directory


def seconds_a_lookup(directory: Directory, pick: Callable[[], int]) -> float:
    """The mean of all batches, in CPU seconds."""
    spent = 0.0
    for _ in range(BATCHES):
        names = [hostname(pick()) for _ in range(BATCH)]
        lookup = directory.lookup
        started = time.process_time()
        for name in names:
            lookup(name)
        spent += time.process_time() - started
    return spent / BATCHES / BATCH


def main() -> None:
    path, count, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    directory = directory_of(path)
    draw = random.Random(count)
    if not isinstance(directory.lookup(hostname(count - 1)), Entry):
        raise SystemExit(f"{path} has no {hostname(count - 1)}")
    hot = [draw.randrange(count) for _ in range(HOT)]
    picks: dict[str, Callable[[], int]] = {
        "hot": lambda: draw.choice(hot),
        "uniform": lambda: draw.randrange(count),
    }
    found: dict[str, list[float]] = {kind: [] for kind in picks}
    for _ in range(rounds):
        for kind, pick in picks.items():
            found[kind].append(seconds_a_lookup(directory, pick))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
