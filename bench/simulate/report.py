"""What the years came to: figures, goals and plots in the form of the benchmark suite."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bench.machine import machine
from bench.result import Bound, Line, Plot, Report
from bench.simulate.authority import ModelCa
from bench.simulate.lifecycle import Platform
from bench.simulate.site import Outcome, per_day
from bench.simulate.world import START, Draw, World, planned, short
from bench.stats import Distribution, percentile

DOMAINS, DAYS = 5000, 730
QUICK_DOMAINS, QUICK_DAYS = 200, 240
YEAR = 365
ACCOUNT_A_DAY = 2400  # orders: 300 in three hours


@dataclass(frozen=True, slots=True)
class Life:
    """One run: a CA's lifetimes, with its renewal information or without."""

    name: str
    label: str
    lifetime: Callable[[datetime], timedelta]
    renewal_information: bool


LIVES: Sequence[Life] = (
    Life("today", "90 days, 64 from 2027-02, 45 from 2028-02", planned, False),
    Life("today.ari", "90, 64, 45 days, when the CA suggests", planned, True),
    Life("short", "45 days all the time", short, False),
    Life("short.ari", "45 days, when the CA suggests", short, True),
)


@dataclass(frozen=True, slots=True)
class Lived:
    life: Life
    ca: ModelCa
    outcome: Outcome
    renewals: Sequence[int]  # a day

    @property
    def steady(self) -> Sequence[int]:
        """The last year: the waves of the beginning have spread."""
        return self.renewals[-YEAR:]

    @property
    def mean(self) -> float:
        return sum(self.steady) / len(self.steady)


def live(life: Life, world: World, days: int) -> Lived:
    ca = ModelCa(life.lifetime, world.outages, life.renewal_information)
    outcome = Platform(world, ca).run()
    return Lived(life, ca, outcome, per_day(outcome.renewed, START, days))


def simulate(*, quick: bool = False) -> Report:
    domains, days = (QUICK_DOMAINS, QUICK_DAYS) if quick else (DOMAINS, DAYS)
    command = f"make simulate{' QUICK=1' if quick else ''}"
    report = Report("lifecycle", command, quick, machine(), {"python": platform.python_version()})
    world = Draw(domains, days).world()
    report.parameters |= {
        "domains": domains,
        "days": days,
        "from": START.date().isoformat(),
        "outages_hours": [round((end - start) / timedelta(hours=1), 1) for start, end in world.outages],
        "broken_for_good": sum(any(one.end is None for one in name.troubles) for name in world.names),
        "broken_for_a_while": sum(any(one.end is not None for one in name.troubles) for name in world.names),
        "lives": {life.name: life.label for life in LIVES},
    }
    lived = [live(life, world, days) for life in LIVES]
    for one in lived:
        _figures(report, one, world)
    _goals(report, lived, world)
    _plots(report, lived)
    report.notes.append(
        "The CA's limits are counted a second time by the model CA, which knows nothing of ours; see bench/simulate."
    )
    return report


def _figures(report: Report, one: Lived, world: World) -> None:
    name, outcome = one.life.name, one.outcome
    waits = [outcome.first_waits[number] for number in world.small if number in outcome.first_waits]

    def figure(what: str, value: float, unit: str, meaning: str) -> None:
        report.figure(f"{name}.{what}", value, unit, f"{meaning} ({one.life.label})")

    figure("expired_right", outcome.expired_right, "certificates", "Ran out while the name's DNS was right")
    figure("expired_wrong", outcome.expired_wrong, "certificates", "Ran out of names whose DNS was wrong")
    figure("served_at_end", outcome.served_at_end, "domains", "With a valid certificate when the time was over")
    figure("orders", one.ca.orders, "orders", "That reached the CA")
    figure("orders_exempt", one.ca.exempt, "orders", "Of those, inside the window of what they replace")
    figure("refusals", one.ca.refusals.total(), "orders", "Refused by the CA for one of its limits")
    figure("failures", one.ca.failures, "authorizations", "That failed at the CA; pre-flight keeps most from it")
    figure("waited", sum(outcome.waited_for_limit.values()), "attempts", "Put off by a limit that we keep")
    figure("day_mean", one.mean, "renewals", "A day, in the last year")
    figure(
        "day_p99", percentile(sorted(one.steady), 99), "renewals", "On one day in a hundred of the last year, or more"
    )
    figure("day_max", max(one.renewals), "renewals", "On the busiest day of all")
    figure("margin_min", min(outcome.margins), "of the lifetime", "Left at the latest renewal")
    figure("small_wait_max", max(waits), "s", "Of a tenant's only name, while another tenant's import waits")
    report.distribution(
        f"{name}.day", Distribution.of([float(day) for day in one.steady]), "renewals", "A day, last year"
    )


def _goals(report: Report, lived: Sequence[Lived], world: World) -> None:
    for one in lived:
        name, outcome = one.life.name, one.outcome
        report.goal(f"{name}: expired, DNS right", float(outcome.expired_right), "certificates", Bound.AT_MOST, 0)
        report.goal(f"{name}: refused by the CA", float(one.ca.refusals.total()), "orders", Bound.AT_MOST, 0)
        if one.life.renewal_information:  # the CA chooses the days, and counts none of these orders
            busiest = max(one.renewals) / ACCOUNT_A_DAY
            report.goal(f"{name}: busiest day of the account's limit", busiest, "x", Bound.AT_MOST, 1)
        else:
            # a short run has only the waves of the beginning
            unevenness = None if report.quick else percentile(sorted(one.steady), 99) / one.mean
            report.goal(f"{name}: p99 day of the mean", unevenness, "x", Bound.AT_MOST, 2)
        slowest = max(outcome.first_waits[number] for number in world.small if number in outcome.first_waits)
        report.goal(f"{name}: one name beside an import", slowest, "s", Bound.AT_MOST, 300)


def _plots(report: Report, lived: Sequence[Lived]) -> None:
    for name, title, wanted in (
        ("load", "renewals a day, when we choose the time", False),
        ("load-ari", "renewals a day, when the CA suggests it", True),
    ):
        lines = tuple(
            Line(one.life.label, tuple((float(day), float(count)) for day, count in enumerate(one.renewals)))
            for one in lived
            if one.life.renewal_information is wanted
        )
        report.plots.append(Plot(name, title, "lines", lines, x=f"days since {START:%Y-%m-%d}", y="renewals"))
