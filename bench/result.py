"""What a scenario found, as it is written to `bench/results/<scenario>.json`.

A figure is a median of rounds with its spread; a goal is judged by one figure and stays in the file when it is not met.
Nothing is rounded here but what is printed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from bench.stats import LADDER, Distribution, Rounds


class Bound(Enum):
    AT_MOST = "≤"
    AT_LEAST = "≥"

    def holds(self, value: float, limit: float) -> bool:
        return value <= limit if self is Bound.AT_MOST else value >= limit


@dataclass(frozen=True, slots=True)
class Figure:
    """`meaning`: what was measured and how, in a sentence."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    rounds: tuple[float, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Goal:
    """`value`: None when the run did not measure it (a quick one leaves the large sizes out); then it is not met."""

    name: str
    value: float | None
    unit: str
    goal: str
    met: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: points (x, y)."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Of a flame graph: `left` and `width` as parts of the whole, `depth` from the bottom."""

    name: str
    left: float
    width: float
    depth: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A PNG beside the JSON. `kind`: "lines"; "latency": percentiles over a scale that spreads the tail; or "flame"."""

    name: str
    title: str
    kind: str
    lines: tuple[Line, ...]
    x: str = ""
    y: str = ""
    log_x: bool = False
    log_y: bool = False
    blocks: tuple[Block, ...] = ()


@dataclass(slots=True)
class Report:
    """Filled by one scenario. `command`: what repeats the run.

    `cores_used_by_others`: on average while it ran; where it is not near 0, only CPU times are the product's.
    """

    scenario: str
    command: str
    quick: bool
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    parameters: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    distributions: dict[str, dict[str, Any]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cores_used_by_others: float = 0.0

    def figure(self, name: str, values: Rounds | Sequence[float] | float, unit: str, meaning: str) -> Rounds:
        if isinstance(values, int | float):
            values = (values,)
        rounds = values if isinstance(values, Rounds) else Rounds.of(values)
        if not all(math.isfinite(value) for value in rounds.values):
            raise ValueError(f"{name}: {rounds.values} are no measurements")
        if any(figure.name == name for figure in self.figures):
            raise ValueError(f"{name}: there is one already")
        self.figures.append(Figure(name, rounds.value, unit, rounds.spread, rounds.values, meaning))
        return rounds

    def distribution(self, name: str, values: Distribution, unit: str, meaning: str) -> None:
        ladder = {f"p{step:g}": value for step, value in zip(LADDER, values.percentiles, strict=True)}
        self.distributions[name] = {
            "unit": unit,
            "meaning": meaning,
            "count": values.count,
            "mean": values.mean,
            **ladder,
            "max": values.maximum,
        }

    def goal(self, name: str, value: Rounds | float | None, unit: str, bound: Bound, limit: float) -> None:
        measured = value.value if isinstance(value, Rounds) else value
        met = measured is not None and bound.holds(measured, limit)
        self.goals.append(Goal(name, measured, unit, f"{bound.value} {limit:g}", met))

    def write(self, directory: Path) -> Path:
        """`<scenario>.json`; plots are drawn by `bench.plots`."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.scenario}.json"
        path.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return path

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "command": self.command,
            "quick": self.quick,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.started).total_seconds(), 1),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "cores_used_by_others": round(self.cores_used_by_others, 2),
            "parameters": self.parameters,
            "figures": [asdict(figure) for figure in self.figures],
            "distributions": self.distributions,
            "goals": [asdict(goal) for goal in self.goals],
            "plots": [f"{self.scenario}-{plot.name}.png" for plot in self.plots],
            "notes": self.notes,
        }
