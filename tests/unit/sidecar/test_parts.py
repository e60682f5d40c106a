from __future__ import annotations

import asyncio

import pytest

from sidecar.parts import keep_running


async def test_a_part_that_fails_or_ends_is_run_again(monkeypatch):
    monkeypatch.setattr("sidecar.parts.RESTART_DELAY", 0)
    runs = 0
    third = asyncio.Event()

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("fails")
        if runs == 3:
            third.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("part", part))
    await asyncio.wait_for(third.wait(), 5)
    assert runs == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
