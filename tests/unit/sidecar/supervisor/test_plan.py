from __future__ import annotations

from typing import Any

import pytest

from sidecar.supervisor.contract import ENDED, TAKEN
from sidecar.supervisor.plan import BACKOFF, LEAVE_PATIENCE, READY_PATIENCE, STEADY, Plan


class Recorder:
    """Workers are 1, 2, 3 … in the order in which they were started. What was done to them is written down."""

    def __init__(self) -> None:
        self.started = 0
        self.done: list[str] = []
        self.events: list[str] = []
        self.refuses = False

    def start(self, *, replace: bool) -> int:
        if self.refuses:
            raise OSError("no memory")
        self.started += 1
        self.done.append(f"start {self.started}" + " to replace" * replace)
        return self.started

    def terminate(self, pid: int) -> None:
        self.done.append(f"terminate {pid}")

    def kill(self, pid: int) -> None:
        self.done.append(f"kill {pid}")

    def tell_replaced(self, pid: int) -> None:
        self.done.append(f"replaced {pid}")

    def report(self, event: str, level: str = "info", **facts: Any) -> None:
        self.events.append(event)

    def take(self) -> list[str]:
        done, self.done = self.done, []
        return done


@pytest.fixture
def workers() -> Recorder:
    return Recorder()


@pytest.fixture
def plan(workers: Recorder) -> Plan:
    """Its worker 1 has been started."""
    plan = Plan(workers, workers.report)
    plan.begin(0.0, replace=False)
    assert workers.take() == ["start 1"]
    return plan


@pytest.fixture
def serving(plan: Plan) -> Plan:
    """Worker 1 is ready."""
    plan.ready(1, 1.0)
    return plan


def test_a_worker_is_replaced_when_the_other_one_is_ready(serving, workers):
    serving.replace(100.0)
    assert workers.take() == ["start 2 to replace"]
    serving.ready(2, 101.0)
    assert workers.take() == ["replaced 1"]
    serving.exited(1, TAKEN, 102.0)
    assert workers.take() == []
    assert serving.wake_at is None
    assert serving.code is None
    assert workers.events[-1] == "worker_left"


@pytest.mark.parametrize("code", [0, 1, 2, 3, -9])
def test_a_replacement_that_fails_leaves_the_one_before(serving, workers, code):
    serving.replace(100.0)
    workers.take()
    serving.exited(2, code, 101.0)
    assert workers.take() == []
    assert workers.events[-1] == "replacement_failed"
    assert serving.wake_at is None
    serving.replace(200.0)
    assert workers.take() == ["start 3 to replace"]


def test_a_replacement_that_never_gets_ready_is_killed(serving, workers):
    serving.replace(100.0)
    workers.take()
    assert serving.wake_at == 100.0 + READY_PATIENCE
    serving.passed(100.0 + READY_PATIENCE)
    assert workers.take() == ["kill 2"]
    serving.exited(2, -9, 191.0)
    assert workers.take() == []
    assert serving.code is None


def test_a_replacement_that_says_it_is_ready_when_it_has_been_killed_replaces_nobody(serving, workers):
    serving.replace(100.0)
    serving.passed(100.0 + READY_PATIENCE)
    workers.take()
    serving.ready(2, 190.1)
    serving.exited(2, -9, 190.2)
    assert workers.take() == []
    assert workers.events[-1] == "replacement_failed"


def test_a_crash_beside_a_replacement_that_has_been_killed_is_made_good_by_a_new_worker(serving, workers):
    serving.replace(100.0)
    serving.passed(100.0 + READY_PATIENCE)
    workers.take()
    serving.exited(1, -9, 190.1)
    assert serving.wake_at == 190.1
    serving.exited(2, -9, 190.1)
    serving.passed(190.1)
    assert workers.take() == ["start 3"]


def test_a_replacement_that_cannot_be_started_leaves_the_one_before(serving, workers):
    workers.refuses = True
    serving.replace(100.0)
    assert workers.events[-1] == "replacement_failed"
    assert serving.wake_at is None


def test_asked_for_again_meanwhile_it_replaces_once_more_afterwards(serving, workers):
    for _ in range(3):
        serving.replace(100.0)
    assert workers.take() == ["start 2 to replace"]
    serving.ready(2, 101.0)
    assert workers.take() == ["replaced 1", "start 3 to replace"]
    serving.exited(3, 2, 102.0)
    assert workers.take() == []


def test_asked_for_before_the_first_is_ready_it_replaces_when_it_is(plan, workers):
    plan.replace(0.5)
    assert workers.take() == []
    plan.ready(1, 1.0)
    assert workers.take() == ["start 2 to replace"]


def test_a_replaced_worker_that_does_not_end_is_killed(serving, workers):
    serving.replace(100.0)
    serving.ready(2, 101.0)
    workers.take()
    assert serving.wake_at == 101.0 + LEAVE_PATIENCE
    serving.passed(101.0 + LEAVE_PATIENCE)
    assert workers.take() == ["kill 1"]


def test_a_crash_is_made_good_at_once(serving, workers):
    serving.exited(1, -11, 50.0)
    assert serving.wake_at == 50.0
    serving.passed(50.0)
    assert workers.take() == ["start 2"]


def test_crashes_in_a_row_are_made_good_ever_more_slowly(plan, workers):
    now = 1.0
    for number in range(1, 10):
        plan.exited(number, 1, now)
        assert plan.wake_at is not None
        assert plan.wake_at - now == BACKOFF[min(number - 1, len(BACKOFF) - 1)]
        now = plan.wake_at
        plan.passed(now)
        assert workers.take() == [f"start {number + 1}"]
    plan.ready(10, now)
    plan.exited(10, 1, now + STEADY)
    assert plan.wake_at == now + STEADY


def test_a_crash_during_a_replacement_is_made_good_by_the_replacement(serving, workers):
    serving.replace(100.0)
    workers.take()
    serving.exited(1, -9, 100.5)
    assert workers.take() == []
    assert serving.wake_at is None
    serving.ready(2, 101.0)
    assert workers.take() == []
    serving.exited(2, -9, 102.0)
    serving.passed(102.5)
    assert workers.take() == ["start 3"]


def test_while_it_waits_after_crashes_a_replacement_is_a_start(plan, workers):
    plan.exited(1, 1, 1.0)
    plan.passed(1.0)
    plan.exited(2, 1, 2.0)
    workers.take()
    plan.replace(2.1)
    assert workers.take() == ["start 3"]
    assert plan.wake_at is None


def test_a_worker_that_cannot_be_started_is_tried_again(workers):
    plan = Plan(workers, workers.report)
    workers.refuses = True
    plan.begin(0.0, replace=False)
    assert plan.wake_at == BACKOFF[-1]
    workers.refuses = False
    plan.passed(BACKOFF[-1])
    assert workers.take() == ["start 1"]


def test_settings_that_cannot_be_used_end_it(plan, workers):
    plan.exited(1, 2, 0.3)
    assert plan.code == 2
    assert workers.take() == []


def test_settings_that_have_become_unusable_are_tried_again(serving, workers):
    """A file that is missing now may be back soon, and this host has no other sidecar."""
    serving.exited(1, -9, 100.0)
    serving.passed(100.0)
    serving.exited(2, 2, 100.3)
    assert serving.code is None
    assert serving.wake_at == 100.3 + BACKOFF[1]


def test_a_worker_whose_addresses_another_sidecar_took_is_not_started_again(serving, workers):
    serving.exited(1, TAKEN, 100.0)
    assert serving.code == 0
    assert workers.take() == []


def test_a_worker_that_a_stranger_told_to_end_is_missed(serving, workers):
    serving.exited(1, ENDED, 100.0)
    serving.passed(100.0)
    assert serving.code is None
    assert workers.take() == ["start 2"]


def test_told_to_end_it_ends_after_all_its_workers(serving, workers):
    serving.replace(100.0)
    serving.ready(2, 101.0)
    serving.replace(101.5)
    workers.take()
    serving.terminate(102.0)
    assert sorted(workers.take()) == ["terminate 1", "terminate 2", "terminate 3"]
    serving.ready(3, 102.1)
    serving.replace(102.2)
    for pid in (1, 2):
        serving.exited(pid, 0, 103.0)
        assert serving.code is None
    serving.exited(3, -15, 104.0)
    assert serving.code == 0
    assert workers.take() == []


def test_told_to_end_while_it_waits_after_a_crash_it_ends_at_once(serving):
    serving.exited(1, 1, 100.0)
    serving.terminate(100.0)
    assert serving.code == 0
    assert serving.wake_at is None


def test_told_to_end_it_does_not_wait_for_ever(serving, workers):
    serving.terminate(100.0)
    workers.take()
    serving.terminate(101.0)
    assert workers.take() == []
    assert serving.wake_at == 100.0 + LEAVE_PATIENCE
    serving.passed(100.0 + LEAVE_PATIENCE)
    assert workers.take() == ["kill 1"]
    serving.exited(1, -9, 116.0)
    assert serving.code == 0
