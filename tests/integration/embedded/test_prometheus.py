"""Debian's Prometheus as tests use it: it says what is wrong, rather than nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded import debian
from embedded.process import ServerFailed
from embedded.prometheus import Prometheus, lint, promtool


@pytest.fixture(autouse=True, scope="module")
def package() -> None:
    debian.ensure("prometheus")


async def test_it_scrapes_itself_and_refuses_what_is_no_expression(state_dir: Path, eventually) -> None:
    async with Prometheus.start(state_dir, {"nobody": []}) as prometheus:
        assert not await prometheus.is_scraped(), "there is nobody to scrape"
        assert await prometheus.query("vector(7)") != []
        assert await prometheus.query("absent(up)") != []
        with pytest.raises(ServerFailed, match="parse error"):
            await prometheus.query("sum(")
        with pytest.raises(ServerFailed, match="unknown function"):
            await prometheus.query("rates(up[1m])")


async def test_rules_that_cannot_be_read_are_an_error_with_its_words(state_dir: Path) -> None:
    rules = state_dir / "rules.yml"
    rules.write_text("groups: [{name: a, rules: [{alert: A, expr: 'up ='}]}]")
    with pytest.raises(ServerFailed, match="parse error"):
        await promtool("check", "rules", rules)
    with pytest.raises(ServerFailed, match=r"rules\.yml"):
        async with Prometheus.start(state_dir, {}, [rules]):
            pass


async def test_a_metric_that_is_named_badly_is_complained_of() -> None:
    assert await lint("# HELP a_seconds A.\n# TYPE a_seconds gauge\na_seconds 1\n") == ""
    assert "_total" in await lint("# HELP a A.\n# TYPE a counter\na 1\n")
    assert await lint("nonsense {") != ""
