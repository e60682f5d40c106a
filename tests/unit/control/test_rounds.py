"""Rounds of work that go on whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from control import rounds
from control.vault import VaultError, VaultUnavailable


class Enough(Exception):
    """Ends the rounds: nothing but what is expected of PostgreSQL and Vault is caught."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the rounds, without their jitter and without waiting. Only theirs: other loops of the process are
    the suite's servers, and a sleep that gives way to nobody would let them spin."""
    asked: list[float] = []

    async def pause(seconds: float) -> None:
        asked.append(seconds)

    _replace(monkeypatch, sleep=pause, uniform=lambda _least, _most: 1.0)
    return asked


def _replace(monkeypatch: pytest.MonkeyPatch, *, sleep: Any, uniform: Any) -> None:
    monkeypatch.setattr(rounds, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(rounds, "random", SimpleNamespace(uniform=uniform))


async def play(*outcomes: Any, **wishes: Any) -> None:
    played: Iterator[Any] = iter((*outcomes, Enough()))

    async def work() -> int | None:
        outcome = next(played)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(Enough):
        await rounds.keep(work, 60, "work_not_done", **wishes)


async def test_a_round_comes_after_each_pause(pauses: list[float]) -> None:
    await play(None, 3)
    assert pauses == [60, 60, 60]


async def test_the_first_may_come_sooner(pauses: list[float]) -> None:
    await play(1, first=10)
    assert pauses == [10, 60]


async def test_a_whole_batch_is_followed_at_once_and_less_is_not(pauses: list[float]) -> None:
    await play(100, 100, 99, 0, None, first=0, batch=100)
    assert pauses == [0, 0, 0, 60, 60, 60]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(), {"error": "OSError"}),
        (TimeoutError(), {"error": "TimeoutError"}),
        (asyncpg.InterfaceError("closed"), {"error": "InterfaceError"}),
        (VaultUnavailable("sealed"), {"code": "vault_unavailable"}),
        (VaultError("vault_refused", "no"), {"code": "vault_refused"}),
    ],
)
async def test_what_is_away_is_said_once_a_round_and_the_next_one_comes(
    error: Exception, said: dict[str, str], pauses: list[float]
) -> None:
    with capture_logs() as logs:
        await play(error, 100, batch=100)
    assert logs == [{"event": "work_not_done", "log_level": "warning", **said}]
    assert pauses == [60, 60, 0]


async def test_replicas_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    async def pause(seconds: float) -> None:
        asked.append(seconds)
        raise Enough

    _replace(monkeypatch, sleep=pause, uniform=lambda least, most: least + most)
    await play()
    assert asked == [120], "between half and one and a half of it"
