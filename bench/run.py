"""A whole run: the scenarios one after the other on common ground, each with its file, its plots and its table."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.ground import Ground
from bench.machine import machine, versions
from bench.plots import draw
from bench.process import Neighbours
from bench.result import Report
from bench.scenarios import EXTRA, SCENARIOS
from bench.table import goals_table, show
from embedded import debian

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("wrk", "nghttp2-client")


async def run(names: Sequence[str], *, quick: bool, out: Path, console: Console) -> int:
    """Returns the exit code: 0 when every scenario could be measured, whether or not it met its goals."""
    wanted = list(names) or list(SCENARIOS)
    for package in PACKAGES:
        debian.ensure(package)
    facts, known = machine(), versions()
    reports: list[Report] = []
    failed = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nameplate-bench-") as scratch:
        async with Ground.start(Path(scratch)) as ground:
            for name in wanted:
                report = Report(name, f"nameplate bench {name}{' --quick' if quick else ''}", quick, facts, known)
                neighbours = Neighbours.now()
                try:
                    await {**SCENARIOS, **EXTRA}[name](ground, report, quick)
                except Exception:  # noqa: BLE001 -- printed; the others can still be measured
                    console.print_exception()
                    failed += 1
                    continue
                report.cores_used_by_others = neighbours.cores_since()
                report.write(out)
                draw(report, out)
                show(report, console)
                reports.append(report)
    console.print(goals_table(reports))
    console.print(f"{len(reports)} scenarios in {time.monotonic() - started:.0f} s; files in {out}")
    return 1 if failed else 0
