"""What Locust itself costs, and what the sidecar counted meanwhile: printed below Locust's own report.

Locust's latencies contain its own client, in Python: its CPU time a request says how much of them cannot be the
server's. Ceilings are measured with `nameplate bench`.
"""

from __future__ import annotations

import time
from typing import Any

MICRO = 1e6


class ClientCost:
    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._cpu = self._wall = 0.0
        environment.events.test_start.add_listener(self._begin)
        environment.events.quitting.add_listener(self._end)

    def _begin(self, **_facts: Any) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def _end(self, **_facts: Any) -> None:
        total = self._environment.stats.total
        if not total.num_requests or not self._wall:
            return
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        print(  # noqa: T201 -- a report on the terminal
            f"\nLocust's own cost: {cpu / total.num_requests * MICRO:.0f} µs of CPU a request, {cpu / wall:.0%} of one"
            f" core; {total.num_requests} requests in {wall:.1f} s, {total.num_failures} failed."
            "\nNear 100 % the figures above are Locust's, not the server's: use --processes, or `nameplate bench`."
        )
