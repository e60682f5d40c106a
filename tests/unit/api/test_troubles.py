"""What an operator is told first, of what is wrong: nothing when all is well, and the worst before the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.overview.explanations import Explained, facts
from api.overview.figures import CodeCount, Figures, StateCount
from api.overview.fleet import Fleet, Sidecar
from api.overview.limits import BucketUse, CaLimits
from api.overview.replicas import CaHealth, Replica
from api.overview.troubles import LEVELS, troubles

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIDECAR = Sidecar("edge-1", 2.0, True, 81, True, 2, 2, 0, 0, True)
FLEET = Fleet("control-1", NOW, 80, NOW - HOUR, 600.0, True, True, [SIDECAR])
FIGURES = Figures(
    at=NOW,
    took=20,
    age=4.0,
    states=[StateCount("active", "issued", 10)],
    failing=[CodeCount("caa_forbids", "tenant", 3, "shop.test")],
    expired=0,
    expiring={1: 0, 7: 1, 30: 2},
    late=0,
    paused={"tenant": 1, "platform": 1},
    first=0,
    renewals=0,
    due_day=5,
    waiting=1,
    dead=0,
    oldest=NOW - timedelta(minutes=1),
    endpoints_failing=1,
    admin_endpoints_failing=0,
    unanchored=1,
    uncovered=NOW - timedelta(minutes=6),
    checkpoint=NOW - HOUR,
    tenants=3,
)
CA = CaHealth("first", "https://first.example", "well", 0, 0, None, None, NOW)
REPLICA = Replica("control-1", NOW - HOUR, 2.0, True, True, False, [CA])
LIMITS = CaLimits(
    "first",
    "https://first.example",
    [BucketUse("order", "the account", "", 300, 5, 280, None, None)],
    [],
    [],
    2400,
    0,
    None,
    100,
)


def codes(
    fleet: Fleet = FLEET, figures: Figures = FIGURES, replicas: Any = (REPLICA,), limits: Any = (LIMITS,)
) -> list[str]:
    found = troubles(fleet, figures, replicas, limits)
    assert [LEVELS.index(one.level) for one in found] == sorted(LEVELS.index(one.level) for one in found)
    assert all(one.page or one.command for one in found)
    return [one.code for one in found]


def test_when_all_is_well_there_is_nothing() -> None:
    """What only tenants can mend is no trouble of the operator's."""
    assert codes() == []


@pytest.mark.parametrize(
    ("sidecars", "code"),
    [
        ([], "no_sidecar"),
        ([SIDECAR, replace(SIDECAR, id="two", live=False)], "sidecar_gone"),
        ([replace(SIDECAR, newest=False, acknowledged=0)], "sidecar_behind"),
        ([replace(SIDECAR, envoys=0, acknowledged=0)], "sidecar_without_envoy"),
        ([replace(SIDECAR, acknowledged=1)], "envoy_behind"),
        ([replace(SIDECAR, rejected=1)], "envoy_rejects"),
        ([replace(SIDECAR, envoys=None, acknowledged=0)], "sidecar_older"),
        ([replace(SIDECAR, answers=False)], "sidecar_older"),
    ],
)
def test_of_the_fleet(sidecars: list[Sidecar], code: str) -> None:
    assert codes(replace(FLEET, sidecars=sidecars)) == [code]


def test_nobody_is_behind_a_change_of_this_moment() -> None:
    fleet = replace(FLEET, sidecars=[replace(SIDECAR, newest=False, acknowledged=0)], changed=NOW)
    assert codes(fleet) == []


def test_who_has_just_begun_to_listen_or_hears_nothing_does_not_say_that_nobody_is_there() -> None:
    assert codes(replace(FLEET, sidecars=[], heard_all=False)) == ["fleet_unknown"]
    assert codes(replace(FLEET, sidecars=[], heard_all=False, listens=False)) == ["fleet_unheard"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"expired": 1}, "certificate_expired"),
        ({"expiring": {1: 1, 7: 1, 30: 1}}, "certificate_ending"),
        ({"late": 2}, "renewals_late"),
        ({"failing": [CodeCount("vault_unavailable", "operator", 2, "a.test")]}, "failing_for_operator"),
        ({"age": 3600.0}, "figures_old"),
        ({"dead": 1}, "dead_letters"),
        ({"oldest": NOW - 2 * HOUR}, "deliveries_wait_long"),
        ({"admin_endpoints_failing": 1}, "admin_endpoint_failing"),
        ({"uncovered": NOW - HOUR}, "audit_not_anchored"),
        ({"uncovered": NOW - HOUR, "checkpoint": None}, "audit_not_anchored"),
    ],
)
def test_of_what_is_counted(changed: dict[str, Any], code: str) -> None:
    assert codes(figures=replace(FIGURES, **changed)) == [code]


def test_an_audit_that_did_not_move_needs_no_checkpoint() -> None:
    assert codes(figures=replace(FIGURES, checkpoint=None, unanchored=0, uncovered=None)) == []


def test_figures_of_long_ago_say_what_was_late_then() -> None:
    """While another replica counts anew, those are shown."""
    assert codes(figures=replace(FIGURES, at=NOW - 9 * HOUR, uncovered=NOW - 9 * HOUR, oldest=NOW - 9 * HOUR)) == []


def test_an_audit_that_moves_after_hours_of_silence_is_covered_in_time() -> None:
    """Its last checkpoint is old then, and that is nobody's fault."""
    assert codes(figures=replace(FIGURES, checkpoint=NOW - 9 * HOUR, uncovered=NOW - timedelta(minutes=1))) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"account": [BucketUse("order", "the account", "", 300, 290, 0, NOW + HOUR, NOW + HOUR)]}, "ca_limit_reached"),
        ({"refused": [("account", "", NOW + HOUR)]}, "ca_limit_refused"),
        ({"waiting": 900, "waiting_until": NOW + 7 * HOUR}, "orders_wait_long"),
        ({"due_day": 2401}, "renewals_too_many"),
    ],
)
def test_of_the_limits(changed: dict[str, Any], code: str) -> None:
    assert codes(limits=[replace(LIMITS, **changed)]) == [code]


def test_a_limit_of_one_name_is_its_tenants_business() -> None:
    assert codes(limits=[replace(LIMITS, refused=[("name", "shop.test", NOW + HOUR)])]) == []


def test_a_ca_that_some_replicas_pass_over_is_less_than_one_that_all_do() -> None:
    out = replace(REPLICA, cas=[replace(CA, state="out", until=NOW + HOUR)])
    (found,) = troubles(FLEET, FIGURES, [out, replace(REPLICA, name="two")], [LIMITS])
    assert (found.code, found.level) == ("ca_out", "danger")
    assert "1 of 2 replicas" in found.message
    (found,) = troubles(FLEET, FIGURES, [out, replace(out, name="two")], [LIMITS])
    assert found.level == "down"


def test_a_replica_that_has_ended_is_not_missed() -> None:
    gone = replace(REPLICA, name="two", live=False)
    assert codes(replicas=[REPLICA, gone]) == ["control_gone"]
    assert codes(replicas=[REPLICA, replace(gone, ended=True)]) == []


def test_the_worst_comes_first() -> None:
    fleet = replace(FLEET, sidecars=[])
    assert codes(fleet, replace(FIGURES, dead=1, late=1)) == ["no_sidecar", "renewals_late", "dead_letters"]


def test_many_names_are_not_all_said() -> None:
    gone = [replace(SIDECAR, id=f"edge-{number}", live=False) for number in range(2, 9)]
    (found,) = troubles(replace(FLEET, sidecars=[SIDECAR, *gone]), FIGURES, [REPLICA], [LIMITS])
    assert found.message.startswith("edge-2, edge-3, edge-4 and 4 others are not heard any more")


# --- differences


def test_only_what_differs_is_said_to_and_what_nobody_says_is_left_out() -> None:
    said = {"served": True, "why": [], "lane": "request", "row": {"hostname": "a.test", "tenant": None}}
    other = {**said, "served": None, "lane": "connection"}
    found = facts([Explained("one", "answered", 0.1, said), Explained("two", "answered", 0.1, other)])
    assert {fact.name for fact in found if fact.differs} == {"Would be served", "Lane"}
    assert "Tenant" not in {fact.name for fact in found}
    assert next(fact.values for fact in found if fact.name == "Would be served") == {
        "one": "yes",
        "two": "not in memory",
    }


@pytest.mark.parametrize("said", [{}, {"served": "maybe"}, {"why": 7, "row": 1, "decisions": [], "envoys": {"a": 1}}])
def test_an_answer_of_any_shape_is_compared(said: dict[str, Any]) -> None:
    assert facts([Explained("one", "answered", 0.1, said), Explained("two", "silent", None)])
