"""What control and a sidecar show, scraped by a real Prometheus: table, alerts and dashboard speak of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from scenes import expressions
from scenes.expressions import OWN
from scenes.play import Play

from embedded import debian
from embedded.background import Background
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK
from embedded.prometheus import Prometheus, lint
from embedded.stack import Stack

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def prometheus(background: Background, session_dir: Path, stack: Stack) -> Iterator[Prometheus]:
    """For these tests only: nobody else need share the machine with it."""
    debian.ensure("prometheus")
    targets = {
        "nameplate-control": [f"{LOOPBACK}:{stack.api_port}"],
        "nameplate-sidecar": [f"{LOOPBACK}:{stack.admin_port}"],
    }
    running = Prometheus.start(session_dir, targets, [expressions.ALERTS])
    yield background.run(running.__aenter__())
    background.run(running.__aexit__(None, None, None))


async def scrapes(stack: Stack) -> tuple[str, str]:
    async with plain_http() as client:
        control = await client.get(f"http://{LOOPBACK}:{stack.api_port}/metrics")
        sidecar = await client.get(f"{stack.admin_url}/metrics")
    return control.text, sidecar.text


def types_of(scrape: str) -> dict[str, str]:
    """As it stands in the text, so that a counter is named with its `_total`."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", scrape, re.MULTILINE))


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le", "quantile"}


async def test_promtool_finds_nothing_wrong_with_what_is_shown(play: Play) -> None:
    await play.active(play.customer(), f"metrics.{play.zone}")
    for scrape in await scrapes(play.stack):
        assert await lint(scrape) == ""


async def test_what_is_shown_is_in_the_table_and_nothing_else_is(stack: Stack, eventually: Eventually) -> None:
    table = expressions.table()

    async def same() -> bool:  # the figures of PostgreSQL come a moment after the start
        shown = types_of("\n".join(await scrapes(stack)))
        assert shown == {name: row.kind for name, row in table.items()}
        return True

    await eventually(same, timeout=30)
    for scrape in await scrapes(stack):
        for family in text_string_to_metric_families(scrape):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert labels_of(family) <= table[name].labels, name
            assert not family.samples or labels_of(family) == table[name].labels, name
            assert family.documentation.endswith("."), name


async def test_every_alert_and_panel_can_be_asked_for_and_speaks_of_what_is_there(
    prometheus: Prometheus, eventually: Eventually
) -> None:
    await eventually(prometheus.is_scraped, timeout=30)
    kinds = await prometheus.kinds()
    series = {re.sub(r"_(bucket|count|sum)$", "", name) for name in await prometheus.get("label/__name__/values")}
    for where, expression in (*expressions.alerts().items(), *expressions.panels()):
        assert expressions.metrics_of(expression) <= kinds.keys() | OWN.keys(), where
        await prometheus.query(expression)
    for where, expression in expressions.panels():
        if expressions.metrics_of(expression) <= series and not is_picky(expression):

            async def shows(where: str = where, expression: str = expression) -> bool:
                assert await prometheus.query(expression), where
                return True

            await eventually(shows, timeout=30)  # a rate takes two scrapes


def is_picky(expression: str) -> bool:
    """Whether nothing may be found though the metric has series: it compares, or looks for certain ones."""
    chosen = {label for _, labels in expressions.labels_of(expression) for label in labels}
    return bool(re.search(r" > 0| == ", expression)) or not chosen <= {"job", "instance", "route"}


async def test_no_alert_is_up_about_a_stack_that_is_well(prometheus: Prometheus, eventually: Eventually) -> None:
    """What other tests have left behind in domains and notifications is not asked about."""
    rules = (await prometheus.get("rules"))["groups"]
    assert {rule["name"] for group in rules for rule in group["rules"]} == expressions.alerts().keys()
    now = [rule for group in rules for rule in group["rules"] if group["name"].endswith(("path", "dependencies"))]
    assert now

    async def quiet() -> bool:
        up = [rule["name"] for rule in now if await prometheus.query(rule["query"])]
        assert up == []
        return True

    await eventually(quiet, timeout=30)
