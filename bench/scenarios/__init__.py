"""The scenarios: a file each, found here by name.

A scenario is a coroutine `run(ground, report, quick)`: it starts what it needs on the ground, measures in alternating
rounds, and fills the report with figures, goals and plots. `quick` shortens the rounds and leaves out the large sizes,
and nothing else, so that a quick run shows that the scenario works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from bench import profile
from bench.ground import Ground
from bench.result import Report
from bench.scenarios import check, cold, flood, issuance, lanes, propagation, restart, scale, soak, xds

Scenario = Callable[[Ground, Report, bool], Awaitable[None]]

SCENARIOS: Mapping[str, Scenario] = {
    "check": check.run,
    "lanes": lanes.run,
    "scale": scale.run,
    "propagation": propagation.run,
    "flood": flood.run,
    "cold": cold.run,
    "restart": restart.run,
    "xds": xds.run,
}

EXTRA: Mapping[str, Scenario] = {"issuance": issuance.run, "profile": profile.run, "soak": soak.run}
"""Run only when they are named: what control does; where time goes; and what takes minutes by itself."""
