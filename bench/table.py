"""What a run found, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.result import Figure, Report

THOUSAND = 1000
QUIET = 0.1  # cores


def show(report: Report, console: Console) -> None:
    table = Table(title=f"{report.scenario}{' (quick)' if report.quick else ''}", title_justify="left", expand=False)
    table.add_column("figure", overflow="fold")
    table.add_column("median", justify="right")
    table.add_column("unit")
    table.add_column("least … greatest", justify="right")
    for figure in report.figures:
        table.add_row(figure.name, number(figure.value), figure.unit, _spread(figure))
    for name, distribution in report.distributions.items():
        steps = " · ".join(f"{step} {number(distribution[step])}" for step in ("p50", "p99", "p99.9", "max"))
        table.add_row(name, number(distribution["p50"]), distribution["unit"], steps)
    console.print(table)
    if report.cores_used_by_others > QUIET:
        console.print(
            f"  [yellow]Others used {report.cores_used_by_others:.2f} cores meanwhile: only CPU times hold.[/]",
            highlight=False,
        )
    for note in report.notes:
        console.print(f"  {note}", highlight=False, soft_wrap=True)


def goals_table(reports: Sequence[Report]) -> Table:
    table = Table(title="goals", title_justify="left")
    for column in ("scenario", "goal", "value", "unit", "limit", ""):
        table.add_column(column, overflow="fold")
    for report in reports:
        for goal in report.goals:
            value = "not measured" if goal.value is None else number(goal.value)
            verdict = "[green]met[/]" if goal.met else "[red]unmet[/]"
            table.add_row(report.scenario, goal.name, value, goal.unit, goal.goal, verdict)
    return table


def number(value: float) -> str:
    """Three digits that matter."""
    if value == 0 or abs(value) >= THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _spread(figure: Figure) -> str:
    least, greatest = figure.spread
    return "" if len(figure.rounds) == 1 else f"{number(least)} … {number(greatest)}"
