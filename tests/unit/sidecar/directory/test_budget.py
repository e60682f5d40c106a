from __future__ import annotations

from sidecar.directory.budget import Budget


def test_a_burst_is_at_most_one_second_worth() -> None:
    now = 0.0
    budget = Budget(5, lambda: now)
    assert [budget.take() for _ in range(7)] == [True] * 5 + [False] * 2
    assert budget.refused == 2
    now = 3600.0
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]


def test_it_fills_up_steadily() -> None:
    now = 0.0
    budget = Budget(2, lambda: now)
    assert budget.take()
    assert budget.take()
    now = 0.25
    assert not budget.take()
    now = 0.5
    assert budget.take()
    assert not budget.take()
