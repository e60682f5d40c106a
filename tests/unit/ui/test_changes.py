"""Hints for open pages: kept while nobody waits, and an end for everybody when the process ends."""

from __future__ import annotations

import asyncio

from control.ui.changes import Hints


async def test_a_hint_ends_the_wait_and_one_that_came_before_is_not_lost() -> None:
    hints = Hints()
    async with hints.subscribe() as one, hints.subscribe() as other:
        waiting = asyncio.create_task(one.wait(60))
        await asyncio.sleep(0)
        hints.tell()
        hints.tell()
        assert await waiting
        assert await other.wait(60)
        assert await other.wait(0.001)  # the two were one


async def test_the_end_is_for_those_who_wait_and_those_who_come() -> None:
    hints = Hints()
    part = asyncio.create_task(hints.until_the_end())
    async with hints.subscribe() as one:
        waiting = asyncio.create_task(one.wait(60))
        await asyncio.sleep(0)
        part.cancel()
        assert not await waiting
        assert not await one.wait(60)
        async with hints.subscribe() as late:
            assert not await late.wait(60)


async def test_who_has_gone_is_forgotten() -> None:
    hints = Hints()
    async with hints.subscribe():
        pass
    hints.tell()
    assert not hints._waiting
