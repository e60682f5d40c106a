from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from scenes.grpcfast import Served, serve

from sidecar.grpcfast import LIMITS, Limits, Method


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """Each test on both loops: they differ in how they write, pause and end."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def served(state_dir: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await served(methods)` or `await served(methods, limits)`: a server until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(methods: Mapping[str, Method], limits: Limits = LIMITS) -> Served:
            return await stack.enter_async_context(serve(methods, state_dir / "socket", limits))

        yield start


@pytest.fixture
def quick_limits(time_scale: float) -> Callable[..., Limits]:
    """`quick_limits(answer=0.05)`: the usual limits but these, in seconds of the tests."""
    return lambda **seconds: replace(LIMITS, **{name: value * time_scale for name, value in seconds.items()})
