"""What `nameplate top` reads: any answer is figures or a ValueError, and figures come through as they were."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from cli.panel import duration, number, percent, rows, size, span, spark, title
from cli.scrape import Figures, Look
from core.families import Families

NAMES = st.from_regex(r"nameplate_[a-z]{1,10}", fullmatch=True)
VALUES = st.floats(allow_nan=False, min_value=0, max_value=1e15)
LABELS = st.text(max_size=20)
SAMPLES = st.dictionaries(LABELS, VALUES, max_size=5)
LOOKS = st.builds(
    Look,
    st.floats(0, 1e9),
    st.floats(0, 10),
    st.fixed_dictionaries(
        {"ready": st.booleans(), "feed_age": st.none() | st.floats(0, 1e9) | st.text(max_size=3)},
        optional={"why_not": st.text(max_size=20) | st.none(), "position": st.integers(), "complete": st.booleans()},
    ),
    st.dictionaries(
        st.sampled_from(
            (
                "nameplate_checks_total",
                "nameplate_directory_names",
                "nameplate_directory_load_seconds_sum",
                "nameplate_directory_load_seconds_count",
                "nameplate_certificate_not_after_timestamp_seconds",
                "nameplate_build_info",
                "nameplate_envoys",
                "process_cpu_seconds_total",
                "process_start_time_seconds",
            )
        ),
        st.lists(
            st.tuples(st.dictionaries(st.sampled_from(("outcome", "hostname", "version")), LABELS), st.floats()),
            max_size=4,
        ).map(tuple),
    ).map(Figures),
)


@given(st.dictionaries(NAMES, SAMPLES, max_size=4), st.booleans())
def test_figures_come_through_as_they_were(metrics: dict[str, dict[str, float]], counters: bool) -> None:
    def family(name: str, samples: dict[str, float]) -> Any:
        made = (CounterMetricFamily if counters else GaugeMetricFamily)(name, "A text.", labels=["of"])
        for label, value in samples.items():
            made.add_metric([label], value)
        return made

    registry = CollectorRegistry()
    registry.register(Families(lambda: [family(name, samples) for name, samples in metrics.items()]))
    figures = Figures.parse(generate_latest(registry).decode())
    for name, samples in metrics.items():
        sample = f"{name}_total" if counters else name
        if samples:
            assert figures.by(sample, "of") == samples
            assert figures.sum(sample) == pytest.approx(math.fsum(samples.values()))
        else:
            assert figures.sum(sample) is None


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ("# TYPE a counter\n", "# HELP ", "a{", 'b="', "\\", '"', "}", " 1", "\n", "NaN", "+Inf", "1 2 3", ",")
        )
    ).map("".join)
)
def test_any_text_is_figures_or_a_value_error(text: str) -> None:
    try:
        figures = Figures.parse(text)
    except ValueError:
        return
    for name in figures.samples:
        assert isinstance(figures.sum(name), float)
        assert figures.sum("nobody's") is None
        assert isinstance(figures.by(name, "of"), dict)


@given(LOOKS, st.none() | LOOKS)
def test_every_look_can_be_shown_and_no_rate_is_below_zero(now: Look, before: Look | None) -> None:
    pieces = [*title("http://sidecar", now), *(piece for _, pieces in rows(now, before) for piece in pieces)]
    assert all(isinstance(text, str) and isinstance(style, str) for text, style in pieces)
    for name in now.figures.samples:
        rate = now.rate(before, name)
        assert rate is None or rate >= 0 or math.isnan(rate)


@given(st.floats() | st.none())
def test_every_figure_has_words(value: float | None) -> None:
    assert all(words(value) for words in (number, percent, duration, size))
    assert value is None or span(value)


@given(st.lists(st.floats(min_value=0, allow_infinity=False), max_size=60))
def test_bars_are_as_many_as_values(values: list[float]) -> None:
    assert len(spark(values)) == len(values)
