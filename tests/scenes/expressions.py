"""What stands in docs/metrics.md, in the alert rules and in the dashboard, to be held against what is scraped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "metrics.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "nameplate.json"

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)
# Prometheus' own.
OWN = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}
TARGET_LABELS = {"job", "instance"}


@dataclass(frozen=True, slots=True)
class Described:
    """A row of the table."""

    kind: str
    labels: frozenset[str]
    text: str


def table() -> Mapping[str, Described]:
    """By metric. A metric of both processes has one row for both, or one for each."""
    rows = ROW.findall(TABLE.read_text())
    return {
        name: Described(kind, frozenset(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text, _ in rows
    }


def alerts() -> dict[str, str]:
    """Expression by alert."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression, as Grafana would send it."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "30s").replace("$sidecar", ".*")


def metrics_of(expression: str) -> set[str]:
    """Names of metrics in it, without what a histogram or a summary adds."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = re.findall(r"\b((?:nameplate|process)_\w+|up|ALERTS)\b", bare)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def labels_of(expression: str) -> Iterator[tuple[str, set[str]]]:
    """A metric and the labels by which its series are chosen."""
    for name, selector in re.findall(r"\b((?:nameplate|process)_\w+|up|ALERTS)\{([^}]*)\}", expression):
        chosen = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)))
        yield re.sub(r"_(bucket|count|sum)$", "", name), chosen
