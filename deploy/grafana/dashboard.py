"""Grafana's file of the dashboard, made of panels.toml: what each panel asks for, and in which unit.

    python deploy/grafana/dashboard.py > deploy/grafana/nameplate.json

Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PANELS = Path(__file__).with_name("panels.toml")
WIDTH = 24  # of Grafana's grid
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, RED = "green", "red"


@dataclass(frozen=True, slots=True)
class Panel:
    """`series`: (expression, legend). `steps`: colour, and from which value on. `stacked`: areas on each other."""

    title: str
    about: str
    series: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    steps: Sequence[tuple[str, float | None]] = ((GREEN, None),)
    stacked: bool = False

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        small = {"width": 4, "height": 4} if entry.get("kind") == "stat" else {}
        series = [(expression, *(legend or [""])) for expression, *legend in entry["series"]]
        steps = [(colour, *(value or [None])) for colour, *value in entry.get("steps", [[GREEN]])]
        return cls(**{**small, **entry, "series": series, "steps": steps})


def rows() -> Mapping[str, Sequence[Panel]]:
    found = tomllib.loads(PANELS.read_text())["row"]
    return {row["title"]: [Panel.read(entry) for entry in row["panel"]] for row in found}


def placed(rows: Mapping[str, Sequence[Panel]]) -> Iterator[dict[str, Any]]:
    """Panels with their numbers and places: each row from left to right, below the row before it."""
    number, top = 0, 0
    for title, panels in rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top, left, height = top + 1, 0, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **drawn(panel)}
            left, height = left + panel.width, max(height, panel.height)
        top += height


def drawn(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for colour, value in panel.steps],
        },
        "custom": {},
    }
    if panel.unit == "percentunit" or panel.kind == "timeseries":
        defaults["min"] = 0
    if panel.kind == "stat" and panel.unit == "short":
        defaults["decimals"] = 0
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 30 if panel.stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "targets": [target(panel, letter, *one) for letter, one in zip("ABCDEFGH", panel.series, strict=False)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        **KINDS[panel.kind],
    }


def target(panel: Panel, letter: str, expression: str, legend: str) -> dict[str, Any]:
    table = {"format": "table", "instant": True, "range": False} if panel.kind == "table" else {"range": True}
    return {"refId": letter, "datasource": DATASOURCE, "expr": expression, "legendFormat": legend or "__auto", **table}


KINDS: Mapping[str, Mapping[str, Any]] = {
    "stat": {
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
        }
    },
    "timeseries": {
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    },
    "table": {
        "options": {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]},
        "transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True}}}],
    },
}


def dashboard() -> dict[str, Any]:
    return {
        "uid": "nameplate",
        "title": "Nameplate",
        "description": "Custom domains: the data path, certificates, control, and what they depend on. docs/metrics.md",
        "tags": ["nameplate"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "sidecar",
                    "label": "Sidecar",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "query": {"query": 'label_values(up{job="nameplate-sidecar"}, instance)', "refId": "sidecar"},
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": RED,
                    "expr": 'ALERTS{alertname=~"Nameplate.*", alertstate="firing", severity="critical"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{instance}}",
                }
            ]
        },
        "panels": list(placed(rows())),
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
