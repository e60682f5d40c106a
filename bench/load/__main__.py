"""A generator as a process: a plan on the standard input; on the standard output a line when it begins, then samples.

It ends early, in good order, by SIGTERM.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from threading import Event

from bench.load.plan import Plan, samples_to_json


def main() -> None:
    stopped = Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    plan = Plan.from_json(sys.stdin.read())
    os.nice(plan.niceness)
    gc.disable()  # its pauses would be the server's latencies

    def begun() -> None:
        sys.stdout.write("\n")
        sys.stdout.flush()

    samples = plan.run(begun, stopped.is_set)
    sys.stdout.write(samples_to_json(samples))


if __name__ == "__main__":
    main()
