from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.result import Bound, Line, Plot, Report
from bench.stats import Distribution, Rounds


def report() -> Report:
    return Report("made", "nameplate bench made", quick=False, machine={"cores": 2}, versions={"python": "3.11"})


def test_a_goal_that_is_not_met_stays_in_the_file(tmp_path: Path) -> None:
    made = report()
    made.goal("fast", Rounds.of([9.0, 8.5, 30.0]), "µs", Bound.AT_MOST, 8)
    made.goal("much", 16.0, "x", Bound.AT_LEAST, 15)
    written = json.loads(made.write(tmp_path).read_text())
    assert written["goals"] == [
        {"name": "fast", "value": 9.0, "unit": "µs", "goal": "≤ 8", "met": False},
        {"name": "much", "value": 16.0, "unit": "x", "goal": "≥ 15", "met": True},
    ]


def test_a_goal_that_was_not_measured_is_not_met() -> None:
    made = report()
    made.goal("at 1M", None, "MB", Bound.AT_MOST, 450)
    (goal,) = made.goals
    assert (goal.value, goal.met) == (None, False)


def test_a_figure_keeps_its_rounds() -> None:
    made = report()
    made.figure("cost", [3.0, 1.0, 2.0], "µs", "of something")
    (figure,) = made.figures
    assert (figure.value, figure.spread, figure.rounds) == (2.0, (1.0, 3.0), (3.0, 1.0, 2.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    with pytest.raises(ValueError, match="no measurements"):
        report().figure("cost", value, "µs", "of something")


def test_a_figure_is_not_overwritten_by_another_of_its_name() -> None:
    made = report()
    made.figure("cost", 1, "µs", "of something")
    with pytest.raises(ValueError, match="one already"):
        made.figure("cost", 2, "µs", "of something else")


def test_a_file_names_the_plots_that_lie_beside_it(tmp_path: Path) -> None:
    made = report()
    made.distribution("latency", Distribution.of([1.0, 2.0]), "µs", "of something")
    made.plots.append(Plot("memory", "memory", "lines", (Line("sidecar", ((0, 1), (1, 2))),)))
    written = json.loads(made.write(tmp_path).read_text())
    assert written["plots"] == ["made-memory.png"]
    assert written["distributions"]["latency"]["p50"] == 1.0
    assert written["distributions"]["latency"]["max"] == 2.0
