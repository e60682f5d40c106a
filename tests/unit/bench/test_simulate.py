"""The simulation of years: it works, it says so, and it would notice a platform that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bench.simulate import lifecycle
from bench.simulate.authority import DAY, HOUR, ModelCa, RateLimited
from bench.simulate.lifecycle import Platform
from bench.simulate.site import Outcome, Site
from bench.simulate.turns import Queue
from bench.simulate.world import START, Draw, World, planned, short
from control.limits.policy import LETSENCRYPT, NONE, Policy

PROJECT = Path(__file__).parents[3]


def lived(domains: int, days: int, policy: Policy = LETSENCRYPT, *, windows: bool = False) -> tuple[Outcome, ModelCa]:
    world = Draw(domains, days).world()
    ca = ModelCa(planned, world.outages, windows)
    return Platform(world, ca, policy).run(), ca


@pytest.mark.parametrize("windows", [False, True])
def test_120_days_of_50_domains_lose_none_whose_dns_is_right(windows: bool) -> None:
    outcome, ca = lived(50, 120, windows=windows)
    assert outcome.expired_right == 0
    assert not ca.refusals
    assert 50 - outcome.expired_wrong <= outcome.served_at_end
    assert len(outcome.renewed) >= 50
    assert (ca.exempt > 0) is windows


def test_the_ca_would_refuse_if_no_limit_were_kept() -> None:
    outcome, ca = lived(2000, 20, NONE)
    assert ca.refusals["new orders"] > 0
    assert ca.refusals["registered domain"] > 0
    kept, strict = lived(2000, 20)
    assert not strict.refusals
    assert min(kept.served_at_end, outcome.served_at_end) > 1990


def test_certificates_would_run_out_if_they_were_renewed_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "DAYS_BEFORE", 0)
    outcome, _ = lived(50, 120)
    assert outcome.expired_right > 0


def bad_days(domains: int, away: tuple[float, float], registered: tuple[float, float], days: int) -> World:
    """The CA is away, in days from the start; the names come evenly in a time, and their DNS is right."""
    drawn = Draw(domains, days).world()
    first, last = registered
    names = [
        replace(name, registered_at=START + (first + (last - first) * number / domains) * DAY, troubles=())
        for number, name in enumerate(drawn.names)
    ]
    return replace(drawn, names=names, outages=[(START + away[0] * DAY, START + away[1] * DAY)])


def test_names_that_their_tenants_pause_go_on_without_an_order_too_many_and_none_is_forgotten() -> None:
    """Before their first certificate, in the middle of an order, of a renewal, of failures; for a day or for months."""
    drawn = Draw(600, 200).world()
    names = [
        replace(
            name,
            pause=(
                start := name.registered_at + timedelta(days=number % 90, seconds=number % 40),
                end_of(start, number),
            ),
        )
        for number, name in enumerate(drawn.names)
    ]
    ca = ModelCa(short, drawn.outages, renewal_information=True)
    platform = Platform(replace(drawn, names=names), ca)
    outcome = platform.run()
    assert not ca.refusals
    assert (outcome.expired_right, [site for site in platform._sites if site.paused_from and ended(site, drawn)]) == (
        0,
        [],
    )
    assert outcome.expired_paused > 0
    right = [site for site in platform._sites if site.name.wrong(drawn.end) is None and site.status != "failed"]
    served = [site for site in right if site.not_after is not None and site.not_after > drawn.end]
    assert [site for site in right if site not in served and ended(site, drawn)] == []


def end_of(start: datetime, number: int) -> datetime:
    return start + timedelta(days=(1, 20, 60)[number % 3], hours=number % 24)


def ended(site: Site, world: World) -> bool:
    """Its tenant resumed it long enough ago."""
    return site.name.pause is not None and site.name.pause[1] < world.end - timedelta(days=14)


def test_what_an_outage_kept_from_the_ca_does_not_come_over_it_all_at_once() -> None:
    world = bad_days(1500, away=(1, 2), registered=(1, 1.9), days=18)
    ca = ModelCa(short, world.outages, renewal_information=False)
    outcome = Platform(world, ca).run()
    assert not ca.refusals
    assert outcome.served_at_end == 1500


def test_thousands_of_renewals_due_while_the_ca_was_away_are_finished_and_none_runs_out() -> None:
    world = bad_days(5000, away=(24, 28), registered=(0, 2), days=44)
    ca = ModelCa(short, world.outages, renewal_information=False)
    outcome = Platform(world, ca).run()
    end = world.outages[0][1]
    due = [moment for moment in outcome.renewed if moment >= end]
    assert len(due) > 3000
    assert not ca.refusals
    assert outcome.expired_right == outcome.expired_wrong == 0
    assert len(outcome.renewed) == outcome.served_at_end == 5000
    backlog = [moment for moment in due if moment < end + 2 * DAY]
    assert len(backlog) > 3000, "they are due, and there is room for 2,400 a day"


def test_the_ca_counts_as_it_says() -> None:
    ca = ModelCa(planned, [(START + DAY, START + 2 * DAY)], renewal_information=True)
    for number in range(300):
        ca.new_order(f"n{number}.com", f"n{number}.com", START, None)
    with pytest.raises(RateLimited, match="new orders"):
        ca.new_order("late.com", "late.com", START + timedelta(seconds=35), None)
    ca.new_order("late.com", "late.com", START + timedelta(seconds=36), None)
    for number in range(50):
        ca.issue(f"s{number}.brand.com", "brand.com", START, renewal=False)
    later = START + 3 * HOUR
    with pytest.raises(RateLimited, match="registered domain"):
        ca.new_order("s50.brand.com", "brand.com", later, None)
    ca.new_order("s50.brand.com", "brand.com", later, (START, later))
    for _ in range(5):
        ca.failed("bad.com", later)
        ca.issue("often.com", "often.com", later, renewal=True)
    with pytest.raises(RateLimited, match="failed authorizations"):
        ca.new_order("bad.com", "bad.com", later + timedelta(minutes=11), None)
    with pytest.raises(RateLimited, match="exact set"):
        ca.new_order("often.com", "often.com", later + DAY, None)
    ca.new_order("bad.com", "bad.com", later + timedelta(minutes=12), None)
    assert ca.is_away(START + DAY)
    assert not ca.is_away(START + 2 * DAY)
    assert ca.refusals.total() == 4


def test_a_name_that_failed_1152_times_in_a_row_is_paused_by_the_ca() -> None:
    ca = ModelCa(short, [], renewal_information=False)
    for hour in range(1152):
        ca.failed("bad.com", START + hour * HOUR)
    with pytest.raises(RateLimited, match="paused"):
        ca.new_order("bad.com", "bad.com", START + 1200 * HOUR, None)


def test_lifetimes_are_those_that_the_ca_has_announced() -> None:
    assert [planned(START + days * DAY).days for days in (0, 80, 81, 451, 452)] == [90, 90, 64, 64, 45]


def test_the_queue_is_fair_between_tenants() -> None:
    queue = Queue(lambda _domain, _now: False, lambda _domain, _now: False)
    for domain in range(100):
        queue.add_first(domain, tenant=1)
    queue.add_first(100, tenant=2)
    assert 100 in [queue.claim(START, room=True) for _ in range(2)]
    assert queue.claim(START, room=False) is None


def test_a_world_is_the_same_every_time() -> None:
    assert Draw(60, 100).world().names == Draw(60, 100).world().names


def test_the_command_writes_a_result_as_the_benchmark_suite_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.simulate", "--quick", "--out", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "lifecycle.json").read_text())
    assert result["command"] == "make simulate QUICK=1"
    for goal in result["goals"]:
        assert goal["met"] or goal["value"] is None, goal
    assert {goal["goal"] for goal in result["goals"] if "expired" in goal["name"]} == {"≤ 0"}
    for plot in result["plots"]:
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG"), plot
