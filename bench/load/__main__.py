"""A generator as a process: a plan on the standard input, its samples on the standard output."""

from __future__ import annotations

import gc
import os
import sys

from bench.load.plan import Plan, samples_to_json


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    os.nice(plan.niceness)
    gc.disable()  # its pauses would be the server's latencies
    sys.stdout.write(samples_to_json(plan.run()))


if __name__ == "__main__":
    main()
