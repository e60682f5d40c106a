"""One whole stack for the session: control, sidecar, Envoy and every server, as an operator would run them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes import released
from scenes.play import Play, play_in

from embedded import stack as stacks
from embedded.background import Background
from embedded.collector import Collector, collecting
from embedded.stack import Stack


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the stack sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def stack(background: Background, session_dir: Path, pebble_package: None, collector: Collector) -> Stack:
    home = session_dir / "stack"
    home.mkdir(mode=0o711)
    traces = {"NAMEPLATE_OTLP_ENDPOINT": collector.url}
    return background.enter(stacks.start(home, ca="pebble", control=traces, sidecar=traces))


@pytest.fixture
async def play(stack: Stack, number: int, eventually: Callable[..., Awaitable[Any]]) -> AsyncIterator[Play]:
    """The session's stack, with a zone that no other test has."""
    async with play_in(stack, f"a{number}.test", eventually) as play:
        yield play


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the release before this one."""
    return released.unpack(tmp_path_factory.mktemp("release") / "released")
