"""Debian's Chromium, headless, driven by Playwright: for the tests of the pages and their screenshots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from embedded import debian

if TYPE_CHECKING:
    from playwright.async_api import Browser

# Root has no sandbox of Chromium's, and an ordinary user often none; it looks at our own pages only.
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--font-render-hinting=none")
START_TIMEOUT = 60_000.0  # milliseconds, on a machine that has much else to do


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Until the block ends. Raises PackageMissing."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 -- of the developers' dependencies

    program = debian.require("chromium", "chromium")
    environment: dict[str, str | float | bool] = {**debian.environment("chromium")}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=list(OPTIONS), env=environment, timeout=START_TIMEOUT
        )
        try:
            yield browser
        finally:
            await browser.close()
