"""A real browser before the pages: whose session it has, what it complains of, and what axe says of a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from embedded.stack import Stack

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE = 60_000.0  # milliseconds: a page of a loaded machine
SERIOUS = ("serious", "critical")
# What the browser itself says of an answer that is refused on purpose, as 422 beside a form.
EXPECTED = "Failed to load resource: the server responded with a status of 4"

expect.set_options(timeout=PATIENCE)


@dataclass  # no slots: Playwright keeps its handlers on the instance
class Screen:
    """`complaints`: of the console, scripts and policy. `foreign`: hosts that are not ours."""

    context: BrowserContext = field(repr=False)
    page: Page = field(repr=False)
    origin: str
    stack: Stack = field(repr=False)
    complaints: list[str] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)

    @classmethod
    async def open(
        cls, browser: Browser, stack: Stack, *, phone: bool = False, dark: bool = False, **options: Any
    ) -> Screen:
        context = await browser.new_context(
            viewport=PHONE if phone else WIDE, color_scheme="dark" if dark else "light", **options
        )
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        screen = cls(context, page, stack.ui_url, stack)
        page.on("console", screen._heard)
        page.on("pageerror", lambda error: screen.complaints.append(f"script: {error}"))
        page.on("request", screen._asked)
        return screen

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and f"{url.scheme}://{url.netloc}" != self.origin:
            self.foreign.add(url.netloc)

    async def enter(self, token: str, *, operator: bool = False) -> None:
        """As the platform hands somebody over."""
        await self.page.goto(await self.stack.hand_over(token, operator=operator))

    async def go(self, path: str) -> None:
        await self.page.goto(self.origin + path)

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def records(self) -> dict[tuple[str, str], str]:
        """What the page asks to be set: (type, name in full) → value."""
        found: dict[tuple[str, str], str] = await self.page.evaluate(
            """() => [...document.querySelectorAll(".record")].map((one) => [
                one.querySelector(".type code").textContent,
                (one.querySelector(".full code") || one.querySelector(".name code")).textContent,
                one.querySelector(".value code").textContent])"""
        )
        return {(kind, name): value for kind, name, value in found}

    async def violations(self) -> list[str]:
        """What axe finds: `impact rule: where`, a line each."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(Axe().axe_script)
        results = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{found['impact']} {found['id']}: {node['html'][:160]}"
            for found in results["violations"]
            for node in found["nodes"]
        ]

    async def fits(self) -> bool:
        """Nothing is wider than the screen."""
        return bool(await self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    async def close(self) -> None:
        await self.context.close()
