"""Figures as Prometheus' metric families. Names and units by https://prometheus.io/docs/practices/naming/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

PREFIX = "nameplate_"

# A figure, or one for each value of a label, or for each tuple of values of several.
Figures: TypeAlias = float | Mapping[Any, float]


class Families(Collector):
    """What `families` gives at each scrape."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def gauge(name: str, text: str, value: Figures, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), value)


def counter(name: str, text: str, value: Figures, *labels: str) -> Metric:
    """The exposition adds `_total`."""
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), value)


def summary(name: str, text: str, count: float, total: float) -> Metric:
    """`{name}_count` and `{name}_sum`."""
    return SummaryMetricFamily(PREFIX + name, text, count_value=int(count), sum_value=total)


def build_info(process: str) -> Metric:
    """`process`: control or sidecar."""
    try:
        release = version("nameplate")
    except PackageNotFoundError:  # run from its sources
        release = "unknown"
    return gauge("build_info", "1; which release this is.", {(process, release): 1}, "process", "version")


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: Figures) -> Metric:
    figures = value if isinstance(value, Mapping) else {(): value}
    for key, figure in figures.items():
        family.add_metric((key,) if isinstance(key, str) else key, figure)
    return family
