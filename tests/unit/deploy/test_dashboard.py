"""The dashboard as a file, and what it and the alerts ask for against the table of metrics."""

from __future__ import annotations

import runpy
from itertools import combinations

from scenes import expressions
from scenes.expressions import OWN, ROOT, TARGET_LABELS


def test_it_is_what_its_table_makes() -> None:
    made = runpy.run_path(str(ROOT / "deploy" / "grafana" / "dashboard.py"))["text"]()
    assert expressions.DASHBOARD.read_text() == made, (
        "python deploy/grafana/dashboard.py > deploy/grafana/nameplate.json"
    )


def test_its_panels_have_numbers_and_places_of_their_own() -> None:
    panels = expressions.dashboard()["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers) > 50
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] >= 0 and place["y"] >= 0 and place["x"] + place["w"] <= 24 and place["w"] * place["h"] > 0
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_each_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_prometheus() -> None:
    dashboard = expressions.dashboard()
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "sidecar"}
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def test_what_alerts_and_panels_ask_for_is_in_the_table() -> None:
    table = expressions.table()
    for where, expression in (*expressions.alerts().items(), *expressions.panels()):
        names = expressions.metrics_of(expression)
        assert names, where
        assert names <= table.keys() | OWN.keys(), where
        for name, labels in expressions.labels_of(expression):
            known = OWN.get(name) or table[name].labels | TARGET_LABELS | {"le"}
            assert labels <= known, (where, name, labels)


def test_each_metric_is_in_the_table_once_with_its_meaning() -> None:
    rows = expressions.ROW.findall(expressions.TABLE.read_text())
    again = [name for name in {row[0] for row in rows} if sum(row[0] == name for row in rows) > 1]
    assert again == []
    assert len(rows) > 100
    assert all(text.strip() for *_, text, _ in rows)
