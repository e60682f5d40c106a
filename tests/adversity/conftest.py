"""A whole stack of the test's own, whose servers it may stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.play import Play, play_in

from embedded import stack as stacks
from embedded.background import Background


@pytest.fixture(scope="module")
def own_stack(background: Background, session_dir: Path, pebble_package: None) -> stacks.Stack:
    """One for the module: each test leaves every server running."""
    home = session_dir / "adverse"
    home.mkdir(mode=0o711)
    return background.enter(stacks.start(home, ca="pebble"))


@pytest.fixture
async def play(own_stack: stacks.Stack, number: int, eventually: Callable[..., Awaitable[Any]]) -> AsyncIterator[Play]:
    async with play_in(own_stack, f"b{number}.test", eventually) as play:
        yield play
