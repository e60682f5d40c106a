"""`make simulate`: exit 0 when every goal that was measured is met."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.plots import draw
from bench.process import Neighbours
from bench.simulate.report import simulate
from bench.table import goals_table, show

RESULTS = Path(__file__).parents[1] / "results"
FILE_WIDTH = 140  # a table needs its width also in a file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few domains and days, to see that it works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where files go (default: bench/results)")
    options = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
    neighbours = Neighbours.now()
    report = simulate(quick=options.quick)
    report.cores_used_by_others = neighbours.cores_since()
    report.write(options.out)
    draw(report, options.out)
    show(report, console)
    console.print(goals_table([report]))
    return 0 if all(goal.met or goal.value is None for goal in report.goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
