"""How often figures are read, what becomes of those that cannot be, and what a scrape shows meanwhile."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cli.scrape import Figures as Scraped
from control.metrics import figures as module
from control.metrics.figures import FAILED_SHARE, SHARE, Figures
from core.families import gauge


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A reading that takes so many seconds of the clock, or fails."""

    def __init__(self, clock: Clock, takes: float = 0.0) -> None:
        self.clock, self.takes = clock, takes
        self.reads = 0
        self.failure: Exception | None = None

    async def __call__(self):
        self.clock.now += self.takes
        if self.failure is not None:
            raise self.failure
        self.reads += 1
        return (gauge("things", "Things.", self.reads),)


def scraped(figures: Figures) -> Scraped:
    registry = CollectorRegistry()
    registry.register(figures)
    return Scraped.parse(generate_latest(registry).decode())


async def test_a_scrape_shows_what_was_read_last_and_how_old_it_is() -> None:
    clock = Clock()
    figures = Figures({"things": Source(clock)}, clock=clock)
    assert scraped(figures).sum("nameplate_things") is None
    await figures.round()
    clock.now += 7
    shown = scraped(figures)
    assert shown.sum("nameplate_things") == 1
    assert shown.by("nameplate_figures_age_seconds", "of") == {"things": 7}


async def test_what_is_long_to_read_takes_a_small_share_of_the_time() -> None:
    clock = Clock()
    slow, quick = Source(clock, takes=3.0), Source(clock, takes=0.001)
    figures = Figures({"slow": slow, "quick": quick}, clock=clock)
    hour = 3600
    end = clock.now + hour
    while clock.now < end:
        await figures.round()
        clock.now += 15
    assert slow.reads * slow.takes <= SHARE * hour * 1.1
    assert slow.reads >= 10
    assert quick.reads > 200
    assert scraped(figures).by("nameplate_figures_read_seconds", "of")["slow"] == pytest.approx(3.0)


@pytest.mark.parametrize("failure", [OSError("away"), TimeoutError()])
async def test_what_cannot_be_read_stays_and_grows_old_and_holds_up_nothing_else(failure: Exception) -> None:
    clock = Clock()
    lost, well = Source(clock), Source(clock)
    figures = Figures({"lost": lost, "well": well}, clock=clock)
    await figures.round()
    lost.failure = failure
    clock.now += 100
    await figures.round()
    assert well.reads == 2
    assert scraped(figures).by("nameplate_figures_age_seconds", "of") == {"lost": 100, "well": 0}
    lost.failure = None
    clock.now += 1
    await figures.round()
    assert scraped(figures).by("nameplate_figures_age_seconds", "of")["lost"] == 0


async def test_what_takes_longer_than_it_may_is_not_tried_all_the_time() -> None:
    clock = Clock()
    endless = Source(clock, takes=30.0)
    endless.failure = TimeoutError()
    figures = Figures({"endless": endless}, clock=clock)
    began, tried = clock.now, 0.0
    while clock.now < began + 3600:
        before = clock.now
        await figures.round()
        tried += clock.now - before
        clock.now += 15
    assert 0 < tried <= FAILED_SHARE * 3600 * 1.1


async def test_a_fault_of_ours_is_not_hidden() -> None:
    source = Source(Clock())
    source.failure = KeyError("ours")
    with pytest.raises(KeyError):
        await module.Figures({"things": source}).round()
