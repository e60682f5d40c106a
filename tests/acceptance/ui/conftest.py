"""Chromium before the pages of the session's stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser
from scenes.screen import Screen

from embedded import debian
from embedded.chromium import chromium as headless
from embedded.stack import Stack


@pytest.fixture(scope="session")
def chromium_package() -> None:
    debian.ensure("chromium")


@pytest.fixture
async def chromium(chromium_package: None) -> AsyncIterator[Browser]:
    async with headless() as browser:
        yield browser


@pytest.fixture
async def new_screen(chromium: Browser, stack: Stack) -> AsyncIterator[Callable[..., Any]]:
    """`await new_screen(phone=True, dark=True, java_script_enabled=False)`: a browser of a person's own.

    At the end none of them may have complained of anything or have asked another host.
    """
    async with AsyncExitStack() as open_screens:
        made: list[Screen] = []

        async def make(**options: Any) -> Screen:
            screen = await Screen.open(chromium, stack, **options)
            open_screens.push_async_callback(screen.close)
            made.append(screen)
            return screen

        yield make
        assert [complaint for screen in made for complaint in screen.complaints] == []
        assert {host for screen in made for host in screen.foreign} == set()
